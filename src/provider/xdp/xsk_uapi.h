/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xsk_uapi.h - what Linux offers for AF_XDP beyond the headers of the oldest supported system (6.1).
 *
 * Values are the kernel's. Each feature is probed at run time: knowing a number here promises nothing.
 * Threads: any, constants only.
 */
#ifndef FSOCK_PROVIDER_XDP_XSK_UAPI_H
#define FSOCK_PROVIDER_XDP_XSK_UAPI_H

#include <linux/if_xdp.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4) /* bind flag, Linux 6.6: frames of several descriptors */
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0) /* descriptor option: the frame goes on in the next descriptor */
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9 /* socket option, Linux 6.17: descriptors per send call, default 32 */
#endif

enum {
	XSK_TX_BUDGET_DEFAULT = 32,   /* descriptors one send call handles without the option above */
	XSK_MAX_PARTS = 18,	      /* descriptors per frame: MAX_SKB_FRAGS + 1 with the usual 17 */
	XSK_RX_HEADROOM = 256,	      /* XDP_PACKET_HEADROOM, left by the kernel in front of a frame */
};

#endif
