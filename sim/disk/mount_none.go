//go:build 386 || arm || mips || mipsle

package disk

import "errors"

func (*Server) attach() error {
	return errors.New("a disk takes a 64-bit machine: go-fuse does not compile for others")
}
