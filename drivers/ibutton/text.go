//lint:pure

package ibutton

import "strings"

// maxText is how many bytes of an error go into an event.
const maxText = 256

// clip makes text fit for an event.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "?") }
