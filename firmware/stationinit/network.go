package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// The words of the kernel's command line that give the network its address. Without them only the loopback is up.
const (
	addressWord = "WATCHPOST_ADDRESS" // address and length of the prefix, like 10.0.2.15/24
	gatewayWord = "WATCHPOST_GATEWAY" // the next hop to everywhere else
)

// addresses reads both words; a zero value stands for one that is not given.
func addresses(word func(string) string) (address netip.Prefix, gateway netip.Addr, err error) {
	if s := word(addressWord); s != "" {
		if address, err = netip.ParsePrefix(s); err != nil {
			return address, gateway, fmt.Errorf("%s: %w", addressWord, err)
		}
	}
	if s := word(gatewayWord); s != "" {
		if gateway, err = netip.ParseAddr(s); err != nil {
			return address, gateway, fmt.Errorf("%s: %w", gatewayWord, err)
		}
	}
	if gateway.IsValid() && !address.Contains(gateway) {
		return address, gateway, fmt.Errorf("%s %s is not reached from %s %s", gatewayWord, gateway, addressWord, address)
	}
	return address, gateway, nil
}

// network brings the loopback up, and the first other interface with the address that the command line gives.
func network() error {
	address, gateway, err := addresses(os.Getenv)
	if err != nil {
		return err
	}
	all, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("looking for network interfaces: %w", err)
	}
	var messages [][]byte
	var card *net.Interface
	for i := range all {
		if all[i].Flags&net.FlagLoopback != 0 {
			messages = append(messages, linkUp(all[i].Index))
		} else if card == nil {
			card = &all[i]
		}
	}
	switch {
	case !address.IsValid():
	case card == nil:
		err = fmt.Errorf("no network interface for %s", address)
	default:
		messages = append(messages, newAddress(card.Index, address), linkUp(card.Index))
		if gateway.IsValid() {
			messages = append(messages, newRoute(gateway))
		}
	}
	return errors.Join(err, tell(messages))
}

// Headers and attributes of rtnetlink(7), in the byte order of the machine.

// linkUp sets IFF_UP of an interface.
func linkUp(index int) []byte {
	b := []byte{unix.AF_UNSPEC, 0, 0, 0}
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = binary.NativeEndian.AppendUint32(b, unix.IFF_UP)
	b = binary.NativeEndian.AppendUint32(b, unix.IFF_UP) // of all flags change this one
	return request(unix.RTM_NEWLINK, 0, b)
}

// newAddress gives an interface an address.
func newAddress(index int, address netip.Prefix) []byte {
	b := []byte{family(address.Addr()), byte(address.Bits()), 0, unix.RT_SCOPE_UNIVERSE}
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = attribute(b, unix.IFA_LOCAL, address.Addr().AsSlice())
	b = attribute(b, unix.IFA_ADDRESS, address.Addr().AsSlice())
	return request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, b)
}

// newRoute sends what is for no known network to a gateway.
func newRoute(gateway netip.Addr) []byte {
	b := []byte{family(gateway), 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0}
	b = attribute(b, unix.RTA_GATEWAY, gateway.AsSlice())
	return request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, b)
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// attribute appends one; the addresses of both families are multiples of its alignment.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(b, value...)
}

// request puts the header of a message that wants an answer before its body.
func request(kind, flags uint16, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	b = append(b, make([]byte, 8)...) // sequence and port: one socket, one request under way
	return append(b, body...)
}

// tell sends messages to the kernel one by one and hears what it says to each.
func tell(messages [][]byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("asking the kernel for its network: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	var errs []error
	answer := make([]byte, 4096)
	for _, m := range messages {
		err := unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		n := 0
		if err == nil {
			n, _, err = unix.Recvfrom(fd, answer, 0)
		}
		if err == nil {
			err = acknowledged(answer[:n])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("network message %d of rtnetlink: %w", binary.NativeEndian.Uint16(m[4:]), err))
		}
	}
	return errors.Join(errs...)
}

// acknowledged reads the kernel's answer, an error message whose number is 0 when all is well.
func acknowledged(b []byte) error {
	if len(b) < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("not an answer: %x", b)
	}
	if code := int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
