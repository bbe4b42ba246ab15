package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"watchpost/storage/event"
	"watchpost/uplink/topic"
)

// chromium is Debian's browser; make deps installs it.
const chromium = "/usr/bin/chromium"

// screensVariable names a folder for pictures of the page, to be looked at by people.
const screensVariable = "WATCHPOST_SCREENS"

// seat is one dispatcher at one browser window with cookies of its own.
type seat struct {
	t    *testing.T
	run  func(limit time.Duration, steps ...chromedp.Action) error
	errs *faults
}

// faults collects what the page complains of.
type faults struct {
	mu   sync.Mutex // guards the fields below
	said []string
}

// browser starts Chromium. The returned function opens a window for another dispatcher, in a language.
func browser(t *testing.T) func(language string, width, height int64) *seat {
	t.Helper()
	if _, err := os.Stat(chromium); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is missing: make deps installs it")
		}
		t.Skip("chromium is not installed: make deps installs it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox,
		chromedp.Flag("headless", "new"), chromedp.Flag("mute-audio", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.WSURLReadTimeout(time.Minute))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	root, end := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(root); err != nil {
			t.Log("ending chromium:", err)
		}
		end()
		stop()
	})
	if err := chromedp.Run(root); err != nil {
		t.Fatal("starting chromium:", err)
	}
	return func(language string, width, height int64) *seat {
		ctx, cancel := chromedp.NewContext(root, chromedp.WithTargetID(newWindow(t, root)))
		t.Cleanup(cancel)
		s := &seat{t: t, errs: &faults{}}
		s.run = func(limit time.Duration, steps ...chromedp.Action) error {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			return chromedp.Run(ctx, steps...)
		}
		chromedp.ListenTarget(ctx, s.errs.hear)
		// The first Run attaches to the window, for as long as its context lasts.
		if err := chromedp.Run(ctx, emulation.SetDeviceMetricsOverride(width, height, 1, false),
			emulation.SetUserAgentOverride("chromedp").WithAcceptLanguage(language)); err != nil {
			t.Fatal("opening a window:", err)
		}
		return s
	}
}

// newWindow opens a window with cookies of its own.
func newWindow(t *testing.T, root context.Context) target.ID {
	t.Helper()
	browser := cdp.WithExecutor(root, chromedp.FromContext(root).Browser)
	jar, err := target.CreateBrowserContext().Do(browser)
	if err != nil {
		t.Fatal("opening a window:", err)
	}
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(jar).WithNewWindow(true).Do(browser)
	if err != nil {
		t.Fatal("opening a window:", err)
	}
	return id
}

// do runs steps within 30 s.
func (s *seat) do(steps ...chromedp.Action) {
	s.t.Helper()
	if err := s.run(30*time.Second, steps...); err != nil {
		s.t.Fatalf("%v; the page shows: %s; it complains: %v", err, s.shows(), s.errs.all())
	}
}

func (s *seat) shows() (text string) {
	if err := s.run(5*time.Second, chromedp.Evaluate(`document.body.innerText`, &text)); err != nil {
		return err.Error()
	}
	return text
}

// enter logs in.
func (s *seat) enter(c *centre, name, password string) {
	s.t.Helper()
	s.do(chromedp.Navigate(c.http), chromedp.WaitVisible(`.door form`),
		chromedp.SendKeys(`input[name=name]`, name), chromedp.SendKeys(`input[name=password]`, password+kb.Enter),
		chromedp.WaitVisible(`.desk`))
}

// wait waits until a JavaScript expression is true.
func (s *seat) wait(expression string) {
	s.t.Helper()
	s.do(chromedp.Poll(expression, nil, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(25*time.Second)))
}

// eval is the value of a JavaScript expression.
func eval[T any](s *seat, expression string) (v T) {
	s.t.Helper()
	s.do(chromedp.Evaluate(expression, &v))
	return v
}

// keys presses keys with nothing focused.
func (s *seat) keys(keys string) {
	s.t.Helper()
	s.do(chromedp.KeyEvent(keys))
}

// screen keeps a picture of the page if somebody wants to look at it.
func (s *seat) screen(name string) {
	s.t.Helper()
	dir := os.Getenv(screensVariable)
	if dir == "" {
		return
	}
	var png []byte
	s.do(chromedp.CaptureScreenshot(&png))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// card is the selector of an alarm's card in a state.
func card(e event.Event, state string) string {
	return fmt.Sprintf(`li.card[data-alarm-id=%q][data-state=%q]`, e.Name(), state)
}

func TestTwoDispatchersAndAnAlarm(t *testing.T) {
	noLeaks(t)
	dir := newCentre(t)
	c := serve(t, dir)
	open := browser(t)
	v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
	v.connect(c.mqtt)
	v.online()

	li, wang := open("zh-CN", 1366, 768), open("en", 1366, 768)
	li.enter(c, "李娜", "correct horse")
	wang.enter(c, "王强", "battery staple")
	li.do(chromedp.WaitVisible(`.queue .empty`), chromedp.WaitVisible(`[data-station="cs-baishi-caoping"][data-state="fresh"]`))

	e := v.raise(doorOpened())
	for _, s := range []*seat{li, wang} {
		s.do(chromedp.WaitVisible(card(e, "open")))
		s.wait(fmt.Sprintf(`document.querySelector(".detail").dataset.alarmId === %q`, e.Name()))
	}
	li.wait(`document.querySelector(".detail h1").textContent === "防区报警"`)
	wang.wait(`document.querySelector(".detail h1").textContent === "Zone alarm"`)

	// Both press Enter at once: one has it, the other sees who.
	var both sync.WaitGroup
	for _, s := range []*seat{li, wang} {
		both.Go(func() { s.keys(kb.Enter) })
	}
	both.Wait()
	for _, s := range []*seat{li, wang} {
		s.do(chromedp.WaitVisible(card(e, "claimed")))
	}
	mine := func(s *seat) bool {
		return eval[bool](s, `document.querySelector("[data-verb=release]") !== null`)
	}
	winner, loser, name := li, wang, "李娜"
	if mine(wang) {
		winner, loser, name = wang, li, "王强"
	}
	if mine(loser) {
		t.Error("both have the same alarm in hand")
	}
	loser.wait(fmt.Sprintf(`document.querySelector(".elsewhere")?.textContent.includes(%q)`, name))

	// The cause ends, the owner acknowledges, the other sees who and when.
	v.raise(doorClosed())
	winner.wait(`document.querySelector(".course .restored") !== null`)
	winner.keys("a")
	for _, s := range []*seat{winner, loser} {
		s.do(chromedp.WaitVisible(`.recent ` + card(e, "acknowledged")))
		s.wait(fmt.Sprintf(`document.querySelector(".settled")?.textContent.includes(%q)`, name))
	}
	winner.screen("acknowledged")
	for _, s := range []*seat{li, wang} {
		if said := s.errs.all(); len(said) > 0 {
			t.Errorf("the page complains: %v", said)
		}
	}
}

func TestKeyboardAloneWillDo(t *testing.T) {
	noLeaks(t)
	dir := newCentre(t)
	c := serve(t, dir)
	s := browser(t)("en", 1366, 768)
	v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
	v.connect(c.mqtt)
	v.online()
	s.enter(c, "李娜", "correct horse")

	low := v.raise(event.Draft{Kind: event.KindPanelLink, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Source: "dc09/1409"})
	s.do(chromedp.WaitVisible(card(low, "open")))
	middle := v.raise(panelSays("BA", "库房"))
	high := v.raise(panelSays("PA", "柜台"))
	s.do(chromedp.WaitVisible(card(high, "open")))
	order := eval[[]string](s, `[...document.querySelectorAll("#open-alarms .card")].map((c) => c.dataset.alarmId)`)
	if want := []string{high.Name(), middle.Name(), low.Name()}; fmt.Sprint(order) != fmt.Sprint(want) {
		t.Errorf("queue %v, want the most urgent first: %v", order, want)
	}
	selected := func(e event.Event) {
		t.Helper()
		s.wait(fmt.Sprintf(`document.querySelector("[aria-selected=true]")?.dataset.alarmId === %q`, e.Name()))
	}
	selected(low) // the first to come was taken up, and is not taken away
	s.keys("kk")
	selected(high)
	s.keys("j")
	selected(middle)
	s.keys("k" + kb.Enter)
	s.do(chromedp.WaitVisible(card(high, "claimed")))
	s.keys("r")
	s.do(chromedp.WaitVisible(card(high, "open")))
	s.keys("a")
	s.do(chromedp.WaitVisible(card(high, "acknowledged")))
	s.keys("j")
	selected(middle)
}

func TestTheStreamResumesAfterARestart(t *testing.T) {
	noLeaks(t)
	dir := newCentre(t)
	listen := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	c := serve(t, dir, "--listen", listen)
	s := browser(t)("en", 1366, 768)
	v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
	v.connect(c.mqtt)
	s.enter(c, "李娜", "correct horse")
	before := v.raise(doorOpened())
	s.do(chromedp.WaitVisible(card(before, "open")))

	c.stop()
	s.do(chromedp.WaitVisible(`.banner`))
	s.screen("link-lost")
	c = serve(t, dir, "--listen", listen)
	v.connect(c.mqtt)
	// Raised before the browser is back: the stream must bring it, and the one before not twice.
	missed := v.raise(panelSays("PA", "柜台"))
	v.receipted(event.LaneAlarm, missed.Seq)
	s.do(chromedp.WaitVisible(card(missed, "open")), chromedp.WaitNotVisible(`.banner`))
	s.wait(`window.__wp.painted.length >= 2`)
	painted := eval[[]string](s, `window.__wp.painted.map((p) => p.id)`)
	if want := []string{before.Name(), missed.Name()}; fmt.Sprint(painted) != fmt.Sprint(want) {
		t.Errorf("painted %v, want %v", painted, want)
	}
}

func TestABurstOf200Alarms(t *testing.T) {
	noLeaks(t)
	const burst = 200
	dir := newCentre(t)
	c := serve(t, dir)
	s := browser(t)("zh-CN", 1366, 768)
	v := enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村")
	v.connect(c.mqtt)
	v.online()
	s.enter(c, "李娜", "correct horse")
	s.do(chromedp.Evaluate(`window.__long = 0;
		new PerformanceObserver((l) => l.getEntries().forEach((e) => (window.__long = Math.max(window.__long, e.duration)))).observe({ entryTypes: ["longtask"] })`, nil))
	codes := []string{"BA", "PA", "TA", "FA"}
	var events []event.Event
	for i := range burst {
		events = append(events, v.next(panelSays(codes[i%len(codes)], fmt.Sprint("防区 ", i)))...)
	}
	began := time.Now()
	for _, e := range events {
		v.client.Publish(v.address.Event(event.LaneAlarm), 1, false, encode(t, v.frame(e)))
	}
	s.wait(fmt.Sprintf(`window.__wp.painted.length === %d`, burst))
	t.Logf("%d alarms painted in %s, longest task %.0f ms", burst, time.Since(began).Round(time.Millisecond), eval[float64](s, `window.__long`))
	if n := eval[int](s, `document.querySelectorAll("#open-alarms .card").length`); n != burst {
		t.Errorf("%d cards, want %d", n, burst)
	}
	if n := eval[string](s, `document.querySelector("[data-figure=open]").textContent`); n != fmt.Sprint(burst) {
		t.Errorf("the header counts %s", n)
	}
	sorted := eval[bool](s, `(() => { const p = [...document.querySelectorAll("#open-alarms .card")].map((c) => Number(c.dataset.priority));
		return p.every((x, i) => i === 0 || p[i - 1] <= x); })()`)
	if !sorted {
		t.Error("the queue is not in order of priority")
	}
	s.screen("burst")
}

func TestNothingComesFromElsewhere(t *testing.T) {
	noLeaks(t)
	dir := newCentre(t)
	c := serve(t, dir)
	s := browser(t)("en", 1366, 768)
	s.enter(c, "李娜", "correct horse")
	s.do(chromedp.WaitVisible(`.stations .empty`))
	foreign := eval[[]string](s, `performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith(location.origin + "/"))`)
	if len(foreign) > 0 {
		t.Errorf("the page loads %v", foreign)
	}
	// The policy is in force: what it forbids does not run.
	if eval[bool](s, `(() => { const x = document.createElement("script"); x.textContent = "window.__injected = true"; document.body.append(x); return window.__injected === true; })()`) {
		t.Error("a script in the page's text runs: there is no content security policy")
	}
}

func TestPicturesOfThePage(t *testing.T) {
	noLeaks(t)
	dir := newCentre(t)
	c := serve(t, dir)
	open := browser(t)
	stations := []*village{
		enrol(t, dir, "changshan", "cs-baishi-caoping", "草坪村"),
		enrol(t, dir, "changshan", "cs-qiuchuan", "球川村"),
		enrol(t, dir, "yushan", "ys-taipingqiao", "太平桥村"),
		enrol(t, dir, "yushan", "ys-shuangming", "双明镇"),
	}
	for lang, size := range map[string][2]int64{"zh-CN": {1920, 1080}, "en": {1366, 768}} {
		s := open(lang, size[0], size[1])
		s.do(chromedp.Navigate(c.http), chromedp.WaitVisible(`.door form`))
		s.screen("door-" + lang)
		s.enter(c, "李娜", "correct horse")
		s.do(chromedp.WaitVisible(`.stations li`))
		s.screen("calm-" + lang)
	}
	for _, v := range stations[:3] {
		v.connect(c.mqtt)
		v.online()
	}
	pictured(t, stations[0])
	stations[2].client.Disconnect(100)
	b, err := json.Marshal(topic.State{V: topic.Version, Station: stations[2].address.Station, Jurisdiction: "yushan", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	stations[2].connect(c.mqtt)
	stations[2].raise(panelSays("TA", "箱体"))
	stations[2].raise(doorOpened())
	stations[2].wait(stations[2].client.Publish(stations[2].address.State(), 1, true, b))
	first := stations[1].raise(panelSays("BA", "后门"))
	stations[0].raise(doorOpened())
	high := stations[0].raise(panelSays("PA", "营业厅柜台"))
	stations[0].receipted(event.LaneAlarm, high.Seq)

	wang := open("en", 1366, 768)
	wang.enter(c, "王强", "battery staple")
	wang.do(chromedp.WaitVisible(card(first, "open")), chromedp.Click(card(first, "open")))
	wang.keys(kb.Enter)
	wang.do(chromedp.WaitVisible(card(first, "claimed")))
	wang.screen("desk-en-1366")

	li := open("zh-CN", 1920, 1080)
	li.enter(c, "李娜", "correct horse")
	li.do(chromedp.WaitVisible(card(high, "open")), chromedp.Click(card(high, "open")))
	li.keys(kb.Enter)
	li.do(chromedp.WaitVisible(card(high, "claimed")))
	li.keys("v")
	li.wait(`document.querySelector(".picture").dataset.state === "live"`)
	li.wait(`window.__wp.firstFrame.length === 1`)
	t.Logf("click to first frame: %.0f ms", eval[float64](li, `window.__wp.firstFrame[0].ms`))
	size := eval[[]int](li, `[document.querySelector("video").videoWidth, document.querySelector("video").videoHeight]`)
	if fmt.Sprint(size) != fmt.Sprint([]int{cameraWidth, cameraHeight}) {
		t.Errorf("a picture of %v", size)
	}
	li.screen("desk-zh-1920")
	li.do(chromedp.Click(`[data-verb=language]`), chromedp.WaitVisible(`html[lang=en]`))
	if state := eval[string](li, `document.querySelector(".picture").dataset.state`); state != "live" {
		t.Errorf("switching the language ends the picture: %s", state)
	}
	li.screen("desk-en-1920")

	small := open("zh-CN", 1366, 768)
	small.enter(c, "李娜", "correct horse")
	small.do(chromedp.WaitVisible(card(high, "claimed")), chromedp.Click(card(high, "claimed")))
	small.screen("desk-zh-1366")

	// The station says no to another camera; the page says why.
	small.do(chromedp.Click(`[data-station="cs-baishi-caoping"] .cam:first-child`))
	small.do(chromedp.Click(`[data-verb=view]`))
	small.wait(`document.querySelector(".picture .fault strong") !== null`) // no purpose was chosen
	small.do(chromedp.Click(`[data-purpose=purpose_check]`), chromedp.Click(`[data-verb=view]`))
	small.wait(`document.querySelector(".picture .fault")?.textContent.includes("站点不允许")`)
	small.screen("refused-zh-1366")

	// Closing ends it at the station, and the centre has it on record.
	li.keys("v")
	stations[0].commanded(topic.CommandViewingClose)
	for _, s := range []*seat{li, wang, small} {
		var said []string
		for _, line := range s.errs.all() {
			if !strings.Contains(line, "502") { // the refusal above
				said = append(said, line)
			}
		}
		if len(said) > 0 {
			t.Errorf("the page complains: %v", said)
		}
	}
}
