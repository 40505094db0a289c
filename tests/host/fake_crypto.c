/* SPDX-License-Identifier: BSD-2-Clause */
/* model/crypto_call.S for a user program, whose FS base has to stay. The library runs on the stack
 * that it was given, as in the hypervisor. */
#include "model/crypto_impl.h"

void crypto_call(void (*work)(void *argument), void *argument, void *top, const void *guard,
		 void *save)
{
	(void)guard;
	__asm__ volatile("fxsave64 (%0)" : : "r"(save) : "memory");
	__asm__ volatile("mov %%rsp, %%rbx\n\tmov %2, %%rsp\n\tcall *%0\n\tmov %%rbx, %%rsp"
			 : "+r"(work), "+D"(argument), "+r"(top)
			 :
			 : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "xmm0",
			   "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
			   "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc");
	__asm__ volatile("fxrstor64 (%0)" : : "r"(save) : "memory");
}
