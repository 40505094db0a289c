/* SPDX-License-Identifier: BSD-2-Clause */
/* Between model/crypto.c and what calls the library: model/crypto_call.S, a fake in host tests. */
#ifndef MODEL_CRYPTO_IMPL_H
#define MODEL_CRYPTO_IMPL_H

#define CRYPTO_SAVE_SIZE 512 /* FXSAVE (Intel SDM vol. 1, 10.5.1) */

#ifndef __ASSEMBLER__
/* work(argument) on the stack that ends at `top`, FS base at `guard`, the x87 and SSE state saved
 * in `save` meanwhile. CR4.OSFXSR is 1 and CR0.EM, TS are 0, as world_cpu_enable() leaves them. */
void crypto_call(void (*work)(void *argument), void *argument, void *top, const void *guard,
		 void *save);
#endif

#endif
