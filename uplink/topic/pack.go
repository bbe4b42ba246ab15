package topic

import (
	_ "embed" // the dictionaries
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// dictionary1 holds canonical records of every kind, and the tables of their bytes: a single event packs as if it stood
// behind a thousand others. It is part of the contract and never edited; TestDictionaries makes the next one.
//
//go:embed dictionary-1.bin
var dictionary1 []byte

// maxUnpacked is how many bytes the records of a packed frame may have: what packs must also fit as it is.
const maxUnpacked = MaxPayload

// magic begins every zstd frame, and so says nothing on this wire: it is left out.
const magic = 0xFD2FB528 // RFC 8878, section 3.1.1

// Packer writes frames, packed where that makes them smaller. It holds about 1 MB and may be used from several goroutines, so
// one is enough for all outboxes of a process.
type Packer struct{ encoder *zstd.Encoder }

// NewPacker makes a packer with the newest dictionary.
func NewPacker() (*Packer, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderDict(dictionary1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(maxUnpacked),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithSingleSegment(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("preparing to pack frames: %w", err)
	}
	return &Packer{encoder: e}, nil
}

// AppendFrame appends the wire form of f, in the packing that makes it smallest. Which bytes a packed frame has is not
// promised; that every Unpacker reads them is.
func (p *Packer) AppendFrame(dst []byte, f Frame) ([]byte, error) {
	plain, err := AppendFrame(make([]byte, 0, 64+128*len(f.Events)), f)
	if err != nil {
		return dst, err
	}
	_, _, _, records, err := decodeHead(plain)
	if err != nil {
		return dst, err
	}
	packed := p.encoder.EncodeAll(records, make([]byte, 0, 64+len(records)/2))[4:] // without the magic number
	if len(packed) >= len(records) {
		return append(dst, plain...), nil
	}
	plain[2] = packingZstd1
	return append(append(dst, plain[:len(plain)-len(records)]...), packed...), nil
}

// Unpacker reads frames in every packing that was ever given out. The zero value is ready. It keeps its buffers, and is for
// one goroutine at a time.
type Unpacker struct {
	decoder *zstd.Decoder
	packed  []byte
	records []byte
}

// unpack answers the records of a packed frame, good until the next call.
func (u *Unpacker) unpack(packed []byte) (_ []byte, err error) {
	if u.decoder == nil {
		u.decoder, err = zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary1), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderMaxWindow(maxUnpacked))
		if err != nil {
			return nil, fmt.Errorf("preparing to unpack frames: %w", err)
		}
	}
	u.packed = append(binary.LittleEndian.AppendUint32(u.packed[:0], magic), packed...)
	records, err := u.decoder.DecodeAll(u.packed, u.records[:0])
	if err != nil {
		return nil, fmt.Errorf("%w: unpacking its records: %w", ErrFrame, err)
	}
	u.records = records
	return records, nil
}

// DecodeFrame reads a frame that came under station's topic. What would unpack to more than a frame may have is refused
// before there is memory for it.
func (u *Unpacker) DecodeFrame(station string, b []byte) (Frame, error) {
	f, packing, count, records, err := decodeHead(b)
	if err != nil {
		return Frame{}, err
	}
	if packing == packingZstd1 {
		if records, err = u.unpack(records); err != nil {
			return Frame{}, err
		}
	}
	return decodeRecords(f, station, count, records)
}
