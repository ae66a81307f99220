import { assert } from '#base/assert.ts';

/** What the program writes to the first serial port when all of it ran. */
export const PROBE_MARKER = 'varve-kvm-ok';

const SECTOR_BYTES = 512;
const DISK_BYTES = 1024 * 1024;

/**
 * A master boot record that tells a processor that runs machines from software that only says so: it goes to long mode, does
 * what emulators of nested virtualisation were seen to lack, counts, and writes PROBE_MARKER. GNU assembler:
 *
 *     .code16
 *     .globl _start
 *     _start:
 *       cli
 *       xorw %ax,%ax
 *       movw %ax,%ds
 *       movw %ax,%es
 *       movw %ax,%ss
 *       movw $0x7c00,%sp
 *       # three page tables at 0x1000, 0x2000, 0x3000: the first 2 MiB as they are
 *       movl $0x1000,%edi
 *       movl %edi,%cr3
 *       xorl %eax,%eax
 *       movl $0xc00,%ecx
 *       cld
 *       addr32 rep stosl
 *       movl $0x2003,0x1000
 *       movl $0x3003,0x2000
 *       movl $0x83,0x3000
 *       movl %cr4,%eax
 *       orl $0x620,%eax          # PAE, OSFXSR, OSXMMEXCPT
 *       movl %eax,%cr4
 *       movl $0xc0000080,%ecx
 *       rdmsr
 *       orl $0x100,%eax
 *       wrmsr
 *       lgdt gdtr
 *       movl %cr0,%eax
 *       andl $0xfffffffb,%eax    # no emulated FPU
 *       orl $0x80000001,%eax
 *       movl %eax,%cr0
 *       ljmpl $8,$long
 *     .code64
 *     long:
 *       movl $16,%eax
 *       movl %eax,%ds
 *       movl %eax,%es
 *       movl %eax,%ss
 *       # 16 byte compare and exchange, SSE
 *       movl $0x6000,%edi
 *       xorl %eax,%eax
 *       xorl %edx,%edx
 *       movl %eax,(%rdi)
 *       movl %eax,4(%rdi)
 *       movl %eax,8(%rdi)
 *       movl %eax,12(%rdi)
 *       movl $1,%ebx
 *       xorl %ecx,%ecx
 *       lock cmpxchg16b (%rdi)
 *       jnz fail
 *       movaps (%rdi),%xmm0
 *       addps %xmm0,%xmm0
 *       # two hundred million turns: a blink for a processor, minutes for who emulates instruction by instruction
 *       movl $200000000,%ecx
 *     1: decl %ecx
 *       jnz 1b
 *       leaq text(%rip),%rsi
 *       movw $0x3f8,%dx
 *     2: lodsb
 *       testb %al,%al
 *       jz fail
 *       outb %al,%dx
 *       jmp 2b
 *     fail: hlt
 *       jmp fail
 *     text: .asciz "varve-kvm-ok\n"
 *     .balign 8
 *     gdt: .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
 *     gdtr: .word 23; .long gdt
 */
const PROGRAM = Buffer.from(
  'fa31c08ed88ec08ed0bc007c66bf001000000f22df6631c066b9000c0000fc6766f3ab66c70600100320000066c706002003' +
    '30000066c7060030830000000f20e0660d200600000f22e066b9800000c00f32660d000100000f300f0116f07c0f20c06683' +
    'e0fb660d010000800f22c066ea777c00000800b8100000008ed88ec08ed0bf0060000031c031d2890789470489470889470c' +
    'bb0100000031c9f0480fc70f75220f28070f58c0b900c2eb0bffc975fc488d350f00000066baf803ac84c07403eeebf8f4eb' +
    'fd76617276652d6b766d2d6f6b0a00900000000000000000ffff0000009aaf00ffff00000092cf001700d87c',
  'hex',
);

/** A disk that boots the program. Firmware takes a smaller one for broken. */
export function probeDisk(): Buffer {
  const disk = Buffer.alloc(DISK_BYTES);
  disk.set(PROGRAM);
  disk.writeUInt16BE(0x55aa, SECTOR_BYTES - 2);
  assert(disk.includes(PROBE_MARKER), 'the program has what it writes');
  return disk;
}
