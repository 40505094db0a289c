/* SPDX-License-Identifier: BSD-2-Clause */
/* The demonstration guest, inside the manager's image. DEMO_FILE comes from guests.mk. */
	.section .rodata
	.globl demo_image, demo_image_end
	.balign 16
demo_image:
	.incbin DEMO_FILE
demo_image_end:
	.section .note.GNU-stack,"",@progbits
