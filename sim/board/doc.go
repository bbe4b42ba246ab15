// An I/O box is a handful of screw terminals and a wire to the station: it says
// when the voltage on a terminal changed, and switches what it is told to. This
// one has terminals that a test or a person moves, and speaks linesock, the text
// protocol for boxes behind a Unix socket.
//
// The box listens, stations connect, and both send lines of UTF-8 of at most
// 256 bytes, each ended by LF:
//
//	box → station   linesock 1                                    greeting
//	station → box   watch LINE DEBOUNCE_US                        ok watch LINE LEVEL KERNEL_NS LINE_SEQ | err watch LINE TEXT
//	box → station   edge LINE LEVEL KERNEL_NS SEQ LINE_SEQ
//	station → box   read LINE                                     ok read LINE LEVEL | err read LINE TEXT
//	station → box   set LINE LEVEL                                ok set LINE LEVEL | err set LINE TEXT
//	station → box   i2c BUS ADDRESS N DATA                        ok i2c BUS DATA | err i2c BUS FAULT TEXT
//	station → box   w1 BUS STRONG N DATA                          ok w1 BUS DATA | err w1 BUS FAULT TEXT
//	station → box   w1search BUS                                  ok w1search BUS CODE,CODE,… | err w1search BUS FAULT TEXT
//	station → box   ping                                          pong
//
// LEVEL is 0 or 1, KERNEL_NS is CLOCK_MONOTONIC in nanoseconds. SEQ counts all
// edges of the box and LINE_SEQ those of the line, both from 1 and through all
// connections: a gap tells a station how many edges it missed.
//
// A box may carry buses of chips, which have names like lines. i2c writes DATA to
// the chip at ADDRESS (two hexadecimal digits) and then reads N bytes; w1 resets
// a 1-wire bus, writes DATA and reads N bytes, and with STRONG 1 holds the wire
// up afterwards; w1search lists the codes of the devices in contact, at most 12,
// each as 16 hexadecimal digits. DATA is two hexadecimal digits a byte, or - for
// none; at most 96 bytes each way. FAULT is noanswer, stuck, timeout or refused.
package board
