/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfork_x86_64.S - the entry of vfork(), which returns twice on one stack: no frame of ours may be on it then.
 *
 * What comes before there is a child, and libc's function: process.c.
 */
	.text
	.globl	vfork, __vfork
	.type	vfork, @function
	.type	__vfork, @function
vfork:
__vfork:
	.cfi_startproc
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	preload_before_vfork
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	jmp	*%rax
	.cfi_endproc
	.size	vfork, . - vfork
	.size	__vfork, . - __vfork
	.section .note.GNU-stack, "", @progbits
