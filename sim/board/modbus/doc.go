// A Modbus slave keeps four tables of values and says what stands in them when its number is called. It never speaks first,
// and on a wire with many slaves one that is dead, slow or mad is everybody's trouble.
//
// Here are such slaves, with a codec of their own, behind a serial line ([ServeRTU] on a pseudo terminal, see [OpenLine]) and
// behind TCP ([ServeTCP]): Modbus Application Protocol V1.1b3, Modbus over Serial Line V1.02, Modbus Messaging on TCP/IP
// V1.0b. Functions 1 to 6, 15 and 16.
package modbus
