package sds

import "iter"

// Span is a part of some bytes: those from From to To-1.
type Span struct{ From, To int }

// MessageSpans returns where the encoded messages of an encoded ChannelMeta are, in
// ascending order: those of the outgoing and the incoming buffer and the cached ones of the
// incoming repair buffer, where those are messages. It fails exactly when ValidateMeta does.
func MessageSpans(meta []byte) ([]Span, error) {
	if err := ValidateMeta(meta); err != nil {
		return nil, err
	}
	all := make([]Span, 0, 8)
	r := fields{b: meta}
	for f, ok := r.next(); ok; f, ok = r.next() {
		if f.wire != wireBytes {
			continue
		}
		switch f.number {
		case 3, 4:
			all = addSpan(all, last(f, 1))
		case 6:
			if cached := last(last(f, 2).field, 2); (decoder{}).message(cached.value, 0, nil, nil) == nil {
				all = addSpan(all, cached)
			}
		}
	}
	return all, nil
}

// BufferedIDs yields the ids of the messages in the buffers of an encoded ChannelMeta, those of the repair
// buffers too, as parts of meta. It must be one: see ValidateMeta.
func BufferedIDs(meta []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		r := fields{b: meta}
		for f, ok := r.next(); ok; f, ok = r.next() {
			if f.wire != wireBytes {
				continue
			}
			var id []byte
			switch f.number {
			case 3, 4: // the message, and its id
				id = last(last(f, 1).field, 1).value
			case 5, 6:
				id = last(f, 1).value
			default:
				continue
			}
			if !yield(id) {
				return
			}
		}
	}
}

// last returns the last field inside f with a number that has bytes.
func last(f field, number uint64) once {
	var o once
	r := fields{b: f.value, base: f.at}
	for f, ok := r.next(); ok; f, ok = r.next() {
		if f.number == number {
			o.set(f, wireBytes)
		}
	}
	return o
}

func addSpan(all []Span, o once) []Span {
	if len(o.value) == 0 {
		return all
	}
	return append(all, Span{o.at, o.at + len(o.value)})
}

// usualEnvelope is what an envelope with a causal history of ten takes.
const usualEnvelope = 1 << 10

// Envelope returns the fields of an encoded message other than its content and its bloom filter, as
// they are encoded; nothing when it isn't well-formed. It fails for nothing else.
func Envelope(message []byte) []byte {
	kept := make([]byte, 0, min(len(message), usualEnvelope))
	r := fields{b: message}
	for at := 0; ; at = r.pos {
		f, ok := r.next()
		if !ok {
			break
		}
		if f.wire != wireBytes || f.number != 5 && f.number != 6 {
			kept = append(kept, message[at:r.pos]...)
		}
	}
	if r.bad {
		return nil
	}
	return kept
}
