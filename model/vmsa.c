/* SPDX-License-Identifier: BSD-2-Clause */
#include "model/vmsa.h"
#include "kernel/string.h"
#include "mm/window.h"

#define GPR_RCX 1
#define GPR_RDX 2
#define GPR_RBX 3
#define GPR_RBP 5
#define GPR_RSI 6
#define GPR_RDI 7
#define GPR_R8	8

#define TAG_EMPTY 3u
#define FX_ST	  32 /* eight registers, 16 bytes each */
#define FX_XMM	  160

/* FXSAVE's image (APM Vol. 2, 11.4.4). */
struct fx {
	u16 fcw, fsw;
	u8 ftw; /* one bit a register: not empty */
	u8 reserved;
	u16 fop;
	u64 rip, dp;
	u32 mxcsr, mxcsr_mask;
};
_Static_assert(sizeof(struct fx) == FX_ST, "FXSAVE");

/* The parts that a VMSA and a VMCB's save area have at the same place. */
static const struct {
	u16 first, end;
} common[] = {
	{0x000, 0x0a0}, /* segments */
	{0x0cb, 0x0cc}, /* CPL */
	{0x0d0, 0x0d8}, /* EFER */
	{0x148, 0x180}, /* CR4 to RIP */
	{0x1d8, 0x248}, /* RSP to CR2 */
	{0x268, 0x298}, /* PAT to LASTEXCPTO */
};

void vmsa_read(pfn_t page, const struct cipher_key *key, struct vmsa *vmsa)
{
	memcpy(vmsa, window_map(WINDOW_MODEL_VMSA, page), sizeof(*vmsa));
	cipher_bytes(key, pfn_to_hpa(page), vmsa, sizeof(*vmsa));
}

void vmsa_write(pfn_t page, const struct cipher_key *key, const struct vmsa *vmsa)
{
	void *at = window_map(WINDOW_MODEL_VMSA, page);

	memcpy(at, vmsa, sizeof(*vmsa));
	cipher_bytes(key, pfn_to_hpa(page), at, sizeof(*vmsa));
}

static void stream_for(struct vmsa_memory *m, pfn_t page, const struct cipher_key *key)
{
	if (m->frame == page.n + 1 && memcmp(&m->key, key, sizeof(*key)) == 0)
		return;
	memset(m->stream, 0, sizeof(m->stream));
	cipher_bytes(key, pfn_to_hpa(page), m->stream, sizeof(m->stream));
	m->key = *key;
	m->frame = page.n + 1;
}

static void combine(void *to, const void *from, const struct vmsa_memory *m)
{
	const u64 *words = from;
	u64 *out = to;

	for (unsigned i = 0; i < ARRAY_COUNT(m->stream); i++)
		out[i] = words[i] ^ m->stream[i];
}

void vmsa_read_again(struct vmsa_memory *m, pfn_t page, const struct cipher_key *key,
		     struct vmsa *vmsa)
{
	stream_for(m, page, key);
	combine(vmsa, window_map(WINDOW_MODEL_VMSA, page), m);
}

void vmsa_write_again(struct vmsa_memory *m, pfn_t page, const struct cipher_key *key,
		      const struct vmsa *vmsa)
{
	stream_for(m, page, key);
	combine(window_map(WINDOW_MODEL_VMSA, page), vmsa, m);
}

static void fpu_load(const struct vmsa *vmsa, struct host_fpu *fpu)
{
	struct fx fx = {
		.fcw = vmsa->x87_fcw,
		.fsw = vmsa->x87_fsw,
		.fop = vmsa->x87_fop,
		.rip = vmsa->x87_rip,
		.dp = vmsa->x87_dp,
		.mxcsr = vmsa->mxcsr & 0xffff, /* the rest is reserved: #GP */
	};

	for (unsigned i = 0; i < 8; i++)
		fx.ftw |= (u8)((vmsa->x87_ftw >> 2 * i & TAG_EMPTY) != TAG_EMPTY ? 1u << i : 0);
	memcpy(fpu->fx, &fx, sizeof(fx));
	for (u64 i = 0; i < 8; i++)
		memcpy(fpu->fx + FX_ST + 16 * i, vmsa->x87 + 10 * i, 10);
	memcpy(fpu->fx + FX_XMM, vmsa->xmm, sizeof(vmsa->xmm));
	memcpy(fpu->ymm, vmsa->ymm, sizeof(vmsa->ymm));
	fpu->xcr0 = vmsa->xcr0;
}

static void fpu_store(struct vmsa *vmsa, const struct host_fpu *fpu)
{
	struct fx fx;

	memcpy(&fx, fpu->fx, sizeof(fx));
	vmsa->x87_fcw = fx.fcw;
	vmsa->x87_fsw = fx.fsw;
	vmsa->x87_fop = fx.fop;
	vmsa->x87_rip = fx.rip;
	vmsa->x87_dp = fx.dp;
	vmsa->mxcsr = fx.mxcsr;
	vmsa->x87_ftw = 0;
	/* Zero and special are told from valid by nobody. */
	for (unsigned i = 0; i < 8; i++)
		vmsa->x87_ftw |= (u16)((fx.ftw >> i & 1) != 0 ? 0 : TAG_EMPTY << 2 * i);
	for (u64 i = 0; i < 8; i++)
		memcpy(vmsa->x87 + 10 * i, fpu->fx + FX_ST + 16 * i, 10);
	memcpy(vmsa->xmm, fpu->fx + FX_XMM, sizeof(vmsa->xmm));
	memcpy(vmsa->ymm, fpu->ymm, sizeof(vmsa->ymm));
	vmsa->xcr0 = fpu->xcr0;
}

void vmsa_to_registers(const struct vmsa *vmsa, struct vmcb_save *save, u64 gpr[16],
		       struct host_fpu *fpu)
{
	for (unsigned i = 0; i < ARRAY_COUNT(common); i++)
		memcpy((u8 *)save + common[i].first, (const u8 *)vmsa + common[i].first,
		       (size_t)common[i].end - common[i].first);
	gpr[GPR_RCX] = vmsa->rcx;
	gpr[GPR_RDX] = vmsa->rdx;
	gpr[GPR_RBX] = vmsa->rbx;
	gpr[GPR_RBP] = vmsa->rbp;
	gpr[GPR_RSI] = vmsa->rsi;
	gpr[GPR_RDI] = vmsa->rdi;
	for (unsigned i = 0; i < 8; i++)
		gpr[GPR_R8 + i] = vmsa->r8_15[i];
	fpu_load(vmsa, fpu);
}

void vmsa_from_registers(struct vmsa *vmsa, const struct vmcb_save *save, const u64 gpr[16],
			 const struct host_fpu *fpu)
{
	for (unsigned i = 0; i < ARRAY_COUNT(common); i++)
		memcpy((u8 *)vmsa + common[i].first, (const u8 *)save + common[i].first,
		       (size_t)common[i].end - common[i].first);
	vmsa->rcx = gpr[GPR_RCX];
	vmsa->rdx = gpr[GPR_RDX];
	vmsa->rbx = gpr[GPR_RBX];
	vmsa->rbp = gpr[GPR_RBP];
	vmsa->rsi = gpr[GPR_RSI];
	vmsa->rdi = gpr[GPR_RDI];
	for (unsigned i = 0; i < 8; i++)
		vmsa->r8_15[i] = gpr[GPR_R8 + i];
	fpu_store(vmsa, fpu);
}
