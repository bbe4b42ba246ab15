package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestE2EDemo is the README's first command, used as a newcomer would: one URL, one log-in, an alarm whose picture plays.
func TestE2EDemo(t *testing.T) {
	begin := time.Now()
	demo := start(t, "simctl", "demo", "--bin", bin(t), "--listen", "127.0.0.1:0")
	c := &centre{t: t, url: demo.line("url ")}
	user, secret := demo.line("user "), demo.line("password ")
	up := time.Since(begin)
	if up > time.Minute {
		t.Errorf("up after %s, want at most 60 s", up)
	}
	b := newBrowser(t, "zh-CN")
	b.enterAs(c, user, secret)
	b.await("three stations of two counties", `document.querySelectorAll("[data-station]").length === 3`)
	b.await("four cameras", `document.querySelectorAll("[data-station] button.cam").length === 4`)
	b.await("an alarm", `document.querySelectorAll("li.card[data-state=open]").length > 0`)
	b.await("each station's daily test", `document.querySelectorAll(".tests [data-test-id]").length === 3`)
	b.choose(b.attribute("li.card", "data-alarm-id"))
	first := b.look()
	stats := b.framesGrow(10)
	t.Logf("up after %s, first frame %s after the click, %+v", up.Round(time.Millisecond), first, stats)
	before, err := value[int](b, `document.querySelectorAll("li.card").length`)
	if err != nil {
		t.Fatal(err)
	}
	demo.say("")
	b.await("one more alarm after Enter", fmt.Sprintf("document.querySelectorAll('li.card').length > %d", before))
	demo.say("window")
	b.await("the window of an armed room", fmt.Sprintf("document.querySelectorAll('li.card').length > %d", before+1))
	if code := demo.stop(); code != 0 {
		t.Errorf("the demo ended with code %d:\n%s", code, demo.tail(20))
	}
}
