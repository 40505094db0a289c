/* SPDX-License-Identifier: BSD-2-Clause */
/* The demonstration guest, inside the manager's image. DEMO_FILE comes from guests.mk. */
	.section .rodata
	.globl demo_image, demo_image_end
	.balign 16
demo_image:
	.incbin DEMO_FILE
demo_image_end:

/* guests/linux: the loader shim, and the DSDT. SHIM_FILE and DSDT_FILE come from guests.mk. */
	.globl shim_image, shim_image_end, dsdt_image, dsdt_image_end
	.balign 16
shim_image:
	.incbin SHIM_FILE
shim_image_end:
	.balign 16
dsdt_image:
	.incbin DSDT_FILE
dsdt_image_end:
	.section .note.GNU-stack,"",@progbits
