//lint:pure

package relay

import "strings"

// clip makes text fit for an event: UTF-8, at most maxText bytes, cut between characters.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}
