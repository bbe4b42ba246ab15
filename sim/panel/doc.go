// An alarm panel reports to its receiver by SIA DC-09 and believes nothing but
// an acknowledgement: what was not answered it sends again, under the same
// number, for as long as it takes. This one is made of wire. Every report has a
// running number of its own, and an append-only log says which were sent and
// which were acknowledged, so that somebody else can ask what became of them.
//
// The codec is the package's own. A mistake in the station's codec therefore
// cannot be on both sides of the wire.
package panel
