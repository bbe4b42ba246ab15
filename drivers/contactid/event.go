package contactid

// Event is one event in the form that panels send: Q EEE GG CCC (DC-05; in DC-09 divided by blanks).
type Event struct {
	Qualifier int    // 1 new or opening, 3 restore or closing, 6 status; others are kept as sent
	Code      string // three digits
	Partition string // 1 to 6 hex digits as sent
	Zone      string // zone, or user where [Meaning] says so; 1 to 6 hex digits as sent
}

// undivided is how many digits GG CCC has where no blank divides them.
const undivided = 5

// maxWord bounds a partition or zone, in digits: real ones have two and three.
const maxWord = 6

// Next reads the first event of s, and gives back what follows it; false: s begins with none.
func Next(s string) (e Event, rest string, ok bool) {
	if len(s) < 4 || s[0] < '1' || s[0] > '9' || !isHex(s[1:4]) {
		return Event{}, s, false
	}
	e = Event{Qualifier: int(s[0] - '0'), Code: s[1:4]}
	if n := hexLen(s[4:]); n == undivided {
		e.Partition, e.Zone = s[4:6], s[6:9]
		return e, s[9:], true
	}
	if e.Partition, rest = word(s[4:]); e.Partition == "" {
		return Event{}, s, false
	}
	if e.Zone, rest = word(rest); e.Zone == "" {
		return Event{}, s, false
	}
	return e, rest, true
}

// word reads blanks and hex digits.
func word(s string) (w, rest string) {
	for s != "" && s[0] == ' ' {
		s = s[1:]
	}
	n := min(hexLen(s), maxWord)
	return s[:n], s[n:]
}

func isHex(s string) bool { return hexLen(s) == len(s) }

// hexLen is how many hex digits s begins with.
func hexLen(s string) int {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'F') && (c < 'a' || c > 'f') {
			return i
		}
	}
	return len(s)
}
