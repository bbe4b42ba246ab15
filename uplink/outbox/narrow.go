//lint:pure

package outbox

import "time"

// How a lane finds out how many messages a broker keeps for its centre.
const (
	leastQueued = 4               // messages that may always be beyond the receipt
	hurry       = 4 * time.Second // for a receipt, once messages were dropped: centres give one within a second
)

// narrow bounds a lane's messages beyond the receipt after a broker has dropped some: its queue for the centre is shorter than
// what was sent. The bound is halved at each drop and grows again with what arrives. The last message of a burst leaves no gap
// behind it that the centre could ask for, so the wait for a receipt is short meanwhile.
type narrow struct {
	most    int           // messages; 0 = not bound
	arrived int           // since most last grew
	wait    time.Duration // until all is sent again
}

// dropped says that a message was lost when so many were beyond the receipt.
func (n *narrow) dropped(beyond int) {
	n.most, n.arrived = max(leastQueued, beyond/2), 0
	n.wait = max(n.wait, hurry)
}

// came says that so many messages have arrived.
func (n *narrow) came(messages int) {
	if n.most == 0 {
		return
	}
	n.wait = hurry
	if n.arrived += messages; n.arrived < n.most {
		return
	}
	n.arrived = 0
	if n.most += max(1, n.most/8); n.most >= mostQueued {
		*n = narrow{}
	}
}

// allows says whether another message may be sent when so many are beyond the receipt.
func (n *narrow) allows(beyond int) bool { return n.most == 0 || beyond < n.most }

// patience is how long acknowledged events may wait for their receipt.
func (c *Core) patience(l *lane) time.Duration {
	if l.narrow.wait > 0 && !l.below {
		return min(l.narrow.wait, c.settings.StallAfter)
	}
	return c.settings.StallAfter
}
