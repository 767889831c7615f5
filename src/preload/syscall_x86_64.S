/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscall_x86_64.S - the entry of syscall(); what it leads to: syscall.c.
 *
 * A system call that is not on the list finds libc's function with every register and the stack as the program left
 * them: clone() may return on another stack, or twice on this one. The seventh argument lies in the program's
 * frame, where one that gave fewer keeps something else, maybe what other threads write: it is read for those on
 * the list only, and never written.
 */
	.text
	.globl	syscall
	.type	syscall, @function
syscall:
	.cfi_startproc
	cmpq	$512, %rdi		/* PRELOAD_SYSCALLS */
	jae	1f
	leaq	preload_listed(%rip), %rax
	cmpb	$0, (%rax, %rdi)
	jne	2f
1:	movq	preload_libc_syscall(%rip), %rax
	testq	%rax, %rax
	je	3f
	jmp	*%rax

2:	pushq	8(%rsp)
	.cfi_adjust_cfa_offset 8
	call	preload_lead
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	ret

3:	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%r8
	pushq	%r9
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 56
	call	preload_find_syscall
	addq	$8, %rsp
	popq	%r9
	popq	%r8
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	.cfi_adjust_cfa_offset -56
	jmp	*%rax
	.cfi_endproc
	.size	syscall, . - syscall
	.section .note.GNU-stack, "", @progbits
