// An IP camera, seen from the network, is an RTSP server that hands H.264 in
// RTP packets to whoever knows its password. This one is made of wire: it draws
// a village gate at night, writes the picture with the two macroblocks that need
// no entropy coder (I_PCM and P_Skip), and speaks RTSP 1.0 (RFC 2326) over TCP.
//
// Every frame carries what a test wants to read back: a frame counter, a clock,
// a car with its plate, and the time of capture as pixels (see [ReadTimecode]).
//
// The package imports nothing of the station it exercises, so a mistake in the
// station's own RTSP or H.264 code cannot be on both sides of the wire.
package camera
