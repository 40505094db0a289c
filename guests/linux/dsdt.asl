/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices of a Linux guest: the serial line, and how to switch off.
 *
 * COM1 has no interrupt, so that Linux polls it. _S5 is the value that goes into the sleep control
 * register of the FADT (guests/manager/acpi.c) to switch the guest off.
 */
DefinitionBlock ("", "DSDT", 2, "SEPTUM", "GUEST", 1)
{
	Name (\_S5, Package () { 5, 0, 0, 0 })

	Scope (\_SB)
	{
		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
			})
		}
	}
}
