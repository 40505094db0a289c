/* SPDX-License-Identifier: BSD-2-Clause */
/* Where Septum enters a root payload: <septum/abi.h>, part 5. rdi: boot information.
 * The image is position-independent and already relocated.
 */
	.text
	.globl root_entry
root_entry:
	lea root_stack_top(%rip), %rsp
	xor %ebp, %ebp
	cld
	call root_start
1:	hlt
	jmp 1b

	.bss
	.balign 4096
	.skip 65536
root_stack_top:
	.section .note.GNU-stack,"",@progbits
