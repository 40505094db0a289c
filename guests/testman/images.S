/* SPDX-License-Identifier: BSD-2-Clause */
/* The small guests, inside the test manager's image. The files' names come from guests.mk. */
	.section .rodata
	.globl small_image, small_image_end, flat_image, flat_image_end, snp_image, snp_image_end
	.balign 16
small_image:
	.incbin SMALL_FILE
small_image_end:
	.balign 16
flat_image:
	.incbin FLAT_FILE
flat_image_end:
	.balign 16
snp_image:
	.incbin SNP_FILE
snp_image_end:
	.section .note.GNU-stack,"",@progbits
