// A card reader on an OSDP line says nothing until it is polled, and what a thief puts in its place does the same, as well as
// he can: these are both.
//
// The readers here have a codec of their own, from SIA OSDP v2.2 and its Annexes C and D, and serve one line (a pseudo terminal,
// as sim/board/modbus opens it) together. A [Mood] makes one misbehave.
package osdp
