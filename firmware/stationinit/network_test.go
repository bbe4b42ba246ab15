package main

import (
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		name, address, gateway, wrong string
	}{
		{name: "none"},
		{name: "an address", address: "10.0.2.15/24"},
		{name: "an address and a gateway", address: "10.0.2.15/24", gateway: "10.0.2.2"},
		{name: "the other family", address: "2001:db8::5/64", gateway: "2001:db8::1"},
		{name: "no prefix", address: "10.0.2.15", wrong: addressWord},
		{name: "a gateway elsewhere", address: "10.0.2.15/24", gateway: "10.0.3.2", wrong: "is not reached"},
		{name: "a gateway alone", gateway: "10.0.2.2", wrong: "is not reached"},
		{name: "no gateway at all", address: "10.0.2.15/24", gateway: "router", wrong: gatewayWord},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address, gateway, err := addresses(func(word string) string {
				return map[string]string{addressWord: tt.address, gatewayWord: tt.gateway}[word]
			})
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("error %v, not one of %q", err, tt.wrong)
				}
				return
			}
			if err != nil || address.IsValid() != (tt.address != "") || gateway.IsValid() != (tt.gateway != "") {
				t.Errorf("%v, %v, %v", address, gateway, err)
			}
		})
	}
}

// ownNetwork moves this test's thread into a network of its own, with a loopback that is down. The thread ends with the test.
func ownNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("a network of its own is root's to make: %v", err)
	}
}

// TestKernelTakesIt tells a real kernel, which is the judge of the messages: a loopback is raised, has an address and a route.
func TestKernelTakesIt(t *testing.T) {
	ownNetwork(t)
	if err := network(); err != nil {
		t.Fatal(err)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if lo.Flags&net.FlagUp == 0 {
		t.Error("the loopback is down")
	}
	address := netip.MustParsePrefix("192.0.2.15/24")
	for range 2 { // told again it stays
		if err := tell([][]byte{newAddress(lo.Index, address), newRoute(netip.MustParseAddr("192.0.2.1"))}); err != nil {
			t.Error(err)
		}
	}
	routes, err := os.ReadFile("/proc/thread-self/net/route")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(routes), "lo\t00000000\t010200C0\t") { // everything, by 192.0.2.1
		t.Errorf("no route to everywhere:\n%s", routes)
	}
	if err := tell([][]byte{newRoute(netip.MustParseAddr("198.51.100.1"))}); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("a gateway that cannot be reached: %v", err)
	}
	other := netip.MustParsePrefix("2001:db8::5/64")
	if err := tell([][]byte{newAddress(lo.Index, other)}); err != nil {
		t.Error(err)
	}
	all, err := lo.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	for _, want := range []string{address.String(), other.String()} {
		if !strings.Contains(strings.Join(texts, " "), want) {
			t.Errorf("%s is not among %q", want, texts)
		}
	}
}

func TestNoCard(t *testing.T) {
	ownNetwork(t)
	t.Setenv(addressWord, "192.0.2.15/24")
	if err := network(); err == nil || !strings.Contains(err.Error(), "no network interface for 192.0.2.15/24") {
		t.Errorf("error %v", err)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if lo.Flags&net.FlagUp == 0 {
		t.Error("without a card the loopback stays down, too")
	}
}

func TestAcknowledged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer []byte
		want   error
	}{
		{"well", request(unix.NLMSG_ERROR, 0, []byte{0, 0, 0, 0}), nil},
		{"refused", request(unix.NLMSG_ERROR, 0, []byte{0xff, 0xff, 0xff, 0xff}), unix.EPERM}, // -1 in either byte order
	} {
		if err := acknowledged(tt.answer); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 19), request(unix.NLMSG_DONE, 0, make([]byte, 4))} {
		if err := acknowledged(b); err == nil {
			t.Errorf("%x is taken for an answer", b)
		}
	}
}

// TestAcknowledgedTakesAnything: what the kernel says is read within its bounds, and only the number 0 is good.
func TestAcknowledgedTakesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "answer")
		if err := acknowledged(b); err == nil && (len(b) < 20 || b[16]|b[17]|b[18]|b[19] != 0) {
			t.Fatalf("%x is taken for a good answer", b)
		}
	})
}

// TestMessages holds what is told to the kernel to the layouts of rtnetlink(7): the length is the whole message's, and each
// attribute is as long as it says.
func TestMessages(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("192.0.2.15/24"), netip.MustParsePrefix("2001:db8::5/64")
	for _, tt := range []struct {
		name       string
		message    []byte
		kind       uint16
		body       int // bytes before the attributes
		attributes map[uint16]netip.Addr
	}{
		{"link", linkUp(7), unix.RTM_NEWLINK, unix.SizeofIfInfomsg, nil},
		{"address", newAddress(7, v4), unix.RTM_NEWADDR, unix.SizeofIfAddrmsg, map[uint16]netip.Addr{unix.IFA_LOCAL: v4.Addr(), unix.IFA_ADDRESS: v4.Addr()}},
		{"address of the other family", newAddress(7, v6), unix.RTM_NEWADDR, unix.SizeofIfAddrmsg, map[uint16]netip.Addr{unix.IFA_LOCAL: v6.Addr(), unix.IFA_ADDRESS: v6.Addr()}},
		{"route", newRoute(v4.Addr()), unix.RTM_NEWROUTE, unix.SizeofRtMsg, map[uint16]netip.Addr{unix.RTA_GATEWAY: v4.Addr()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if n, kind := binary.NativeEndian.Uint32(tt.message), binary.NativeEndian.Uint16(tt.message[4:]); int(n) != len(tt.message) || kind != tt.kind {
				t.Fatalf("message %d of %d bytes says %d", kind, len(tt.message), n)
			}
			found := map[uint16]netip.Addr{}
			for rest := tt.message[unix.SizeofNlMsghdr+tt.body:]; len(rest) > 0; {
				n, kind := binary.NativeEndian.Uint16(rest), binary.NativeEndian.Uint16(rest[2:])
				a, ok := netip.AddrFromSlice(rest[4:n])
				if !ok || n%4 != 0 {
					t.Fatalf("attribute %d of %d bytes: %x", kind, n, rest)
				}
				found[kind], rest = a, rest[n:]
			}
			if !maps.Equal(found, tt.attributes) {
				t.Errorf("attributes %v, want %v", found, tt.attributes)
			}
		})
	}
}
