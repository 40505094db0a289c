/* SPDX-License-Identifier: BSD-2-Clause */
/* The bench guest, inside its manager's image. The file's name comes from guests.mk. */
	.section .rodata
	.globl bench_image, bench_image_end
	.balign 16
bench_image:
	.incbin BENCH_FILE
bench_image_end:
	.section .note.GNU-stack,"",@progbits
