package event

import (
	"cmp"
	"encoding/json"
	"slices"
)

// Body is what a kind says beyond the common fields, in ascending tag order; a tag may repeat. Unknown tags are kept.
type Body []Field

// Form says how a field's value is written.
type Form uint8

// The forms of a field. The numbers are on disk and on the wire.
const (
	FormUint  Form = 0
	FormInt   Form = 1
	FormText  Form = 2
	FormBytes Form = 3
)

// Field is one tagged value.
type Field struct {
	Tag  Tag
	Form Form
	num  uint64 // FormUint as it is, FormInt as two's complement
	text string // FormText and FormBytes
}

// Text is a field of UTF-8 text.
func Text(t Tag, s string) Field { return Field{Tag: t, Form: FormText, text: s} }

// Uint is a field of an unsigned number.
func Uint(t Tag, n uint64) Field { return Field{Tag: t, Form: FormUint, num: n} }

// Int is a field of a signed number.
func Int(t Tag, n int64) Field { return Field{Tag: t, Form: FormInt, num: uint64(n)} }

// Bytes is a field of raw bytes; b is copied.
func Bytes(t Tag, b []byte) Field { return Field{Tag: t, Form: FormBytes, text: string(b)} }

// NewBody puts fields into canonical order and leaves empty texts out. Equal tags keep their order.
func NewBody(fields ...Field) Body {
	b := make(Body, 0, len(fields))
	for _, f := range fields {
		if f.Form == FormText && f.text == "" {
			continue
		}
		b = append(b, f)
	}
	slices.SortStableFunc(b, func(x, y Field) int { return cmp.Compare(x.Tag, y.Tag) })
	if len(b) == 0 {
		return nil
	}
	return b
}

func (b Body) find(t Tag, form Form) (Field, bool) {
	for _, f := range b {
		if f.Tag == t && f.Form == form {
			return f, true
		}
	}
	return Field{}, false
}

// Text is the first text under t.
func (b Body) Text(t Tag) (string, bool) { f, ok := b.find(t, FormText); return f.text, ok }

// Uint is the first unsigned number under t.
func (b Body) Uint(t Tag) (uint64, bool) { f, ok := b.find(t, FormUint); return f.num, ok }

// Int is the first signed number under t.
func (b Body) Int(t Tag) (int64, bool) { f, ok := b.find(t, FormInt); return int64(f.num), ok }

// Bytes is a copy of the first raw bytes under t.
func (b Body) Bytes(t Tag) ([]byte, bool) { f, ok := b.find(t, FormBytes); return []byte(f.text), ok }

func (f Field) value() any {
	switch f.Form {
	case FormUint:
		return f.num
	case FormInt:
		return int64(f.num)
	case FormText:
		return f.text
	default:
		return []byte(f.text)
	}
}

// MarshalJSON is the view for people: the tags' words, a repeated tag as a list.
func (b Body) MarshalJSON() ([]byte, error) {
	m := make(map[string]any, len(b))
	for i := 0; i < len(b); {
		n := i + 1
		for n < len(b) && b[n].Tag == b[i].Tag {
			n++
		}
		if n == i+1 {
			m[b[i].Tag.String()] = b[i].value()
		} else {
			list := make([]any, 0, n-i)
			for _, f := range b[i:n] {
				list = append(list, f.value())
			}
			m[b[i].Tag.String()] = list
		}
		i = n
	}
	return json.Marshal(m)
}
