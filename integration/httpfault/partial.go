package httpfault

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"

	"github.com/sdsaws/sdsaws/internal/ordeal"
)

// partial adds the answers of which the client has to ask for the rest: none of them is an error
// to the SDK. A batch of one isn't done at all.
func (c *catalog) partial() {
	rest := func(name ordeal.Fault, a answer) *ordeal.Group { return c.alone(name, fault{a, pass}, c.writes()) }
	asked := func(name ordeal.Fault, a answer) { rest(name, a).Passes = true }
	switch c.op {
	case batchWriteItem:
		asked("first half", halfWritten(false, false))
		asked("last half", halfWritten(true, false))
		rest("first half, the rest refused", halfWritten(false, true))
		rest("last half, the rest refused", halfWritten(true, true))
	case batchGetItem:
		asked("first half", halfRead)
	case s3DeleteObjects:
		rest("first half, the rest InternalError", halfDeleted("InternalError"))
		rest("first half, the rest AccessDenied", halfDeleted("AccessDenied"))
	case query:
		asked("short page", shortQuery)
	case s3ListObjectVersions:
		asked("short page", shortList)
	}
}

type object = map[string]json.RawMessage

// batch is a request about several items of one table.
type batch[T any] struct {
	input object
	table string
	asked T
}

func batchOf[T any](x *exchange) (b batch[T], err error) {
	var items map[string]T
	if err = json.Unmarshal(x.body, &b.input); err == nil {
		err = json.Unmarshal(b.input["RequestItems"], &items)
	}
	if err != nil || len(items) != 1 {
		return b, fmt.Errorf("httpfault: a batch over %d tables, %w", len(items), err)
	}
	for b.table, b.asked = range items {
	}
	return b, nil
}

// send does a part of a batch, of n items, and adds to the reply what is left undone.
func (b batch[T]) send(x *exchange, part T, n int, undone string, rest T) (*http.Response, error) {
	x.reply = dynamoReply(http.StatusOK, object{})
	if n > 0 {
		b.input["RequestItems"] = mustJSON(map[string]T{b.table: part})
		x.body = mustJSON(b.input)
		if err := x.send(); err != nil {
			return nil, err
		}
		if x.reply.status != http.StatusOK {
			return x.response(), nil
		}
	}
	var out object
	if err := json.Unmarshal(x.reply.body, &out); err != nil {
		return nil, err
	}
	out[undone] = mustJSON(map[string]T{b.table: rest})
	x.reply = dynamoReply(http.StatusOK, out)
	return x.response(), nil
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // all of it was JSON before
	}
	return b
}

// halfWritten does half of a BatchWriteItem. The rest can be refused when it is sent again, in
// a call of its own.
func halfWritten(last, refused bool) answer {
	return func(x *exchange) (*http.Response, error) {
		b, err := batchOf[[]json.RawMessage](x)
		if err != nil {
			return nil, err
		}
		all := b.asked
		part, rest := all[:len(all)/2], all[len(all)/2:]
		if last {
			part, rest = all[(len(all)+1)/2:], all[:(len(all)+1)/2]
		}
		if refused {
			x.t.refuseRest(rest)
		}
		return b.send(x, part, len(part), "UnprocessedItems", rest)
	}
}

func (t *Transport) refuseRest(rest []json.RawMessage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = map[string]bool{}
	for _, r := range rest {
		t.rest[canonical(r)] = true
	}
}

// isRefusedRest reports whether a call is the first with the rest of a batch that is to be
// refused.
func (t *Transport) isRefusedRest(x *exchange) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.op != batchWriteItem || t.rest == nil {
		return false
	}
	b, err := batchOf[[]json.RawMessage](x)
	if err != nil || len(b.asked) == 0 || !t.rest[canonical(b.asked[0])] {
		return false
	}
	t.rest = nil
	return true
}

// canonical writes JSON with its keys in order: the SDK writes them in any.
func canonical(raw json.RawMessage) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return string(raw)
	}
	return string(mustJSON(v))
}

// halfRead does half of a BatchGetItem.
func halfRead(x *exchange) (*http.Response, error) {
	b, err := batchOf[object](x)
	if err != nil {
		return nil, err
	}
	var keys []json.RawMessage
	if err := json.Unmarshal(b.asked["Keys"], &keys); err != nil {
		return nil, err
	}
	with := func(keys []json.RawMessage) object {
		o := maps.Clone(b.asked)
		o["Keys"] = mustJSON(keys)
		return o
	}
	n := len(keys) / 2
	return b.send(x, with(keys[:n]), n, "UnprocessedKeys", with(keys[n:]))
}

// shortQuery ends a page after one item, as DynamoDB does after 1 MB.
func shortQuery(x *exchange) (*http.Response, error) {
	var input object
	if err := json.Unmarshal(x.body, &input); err != nil {
		return nil, err
	}
	input["Limit"] = []byte("1")
	x.body = mustJSON(input)
	return pass(x)
}

// shortList ends a page after one version, as S3 does after 1000.
func shortList(x *exchange) (*http.Response, error) {
	q := x.request.URL.Query()
	q.Set("max-keys", "1")
	x.request.URL.RawQuery = q.Encode()
	return pass(x)
}

type deletion struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Delete"`
	Objects []struct {
		Key       string
		VersionID string `xml:"VersionId,omitempty"`
	} `xml:"Object"`
	Quiet bool
}

type deletionResult struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
	Errors  []deletionError
}

type deletionError struct {
	XMLName   xml.Name `xml:"Error"`
	Key       string
	VersionID string `xml:"VersionId,omitempty"`
	Code      string
	Message   string
}

// halfDeleted does half of a DeleteObjects and reports an error for each of the other keys.
func halfDeleted(code string) answer {
	return func(x *exchange) (*http.Response, error) {
		var input deletion
		if err := xml.Unmarshal(x.body, &input); err != nil {
			return nil, err
		}
		var result deletionResult
		n := len(input.Objects) / 2
		for _, o := range input.Objects[n:] {
			result.Errors = append(result.Errors,
				deletionError{Key: o.Key, VersionID: o.VersionID, Code: code, Message: code})
		}
		if input.Objects = input.Objects[:n]; n > 0 {
			x.body = xmlBody(input)
			x.signBody()
			if err := x.send(); err != nil {
				return nil, err
			}
			if x.reply.status != http.StatusOK || bytes.Contains(x.reply.body, []byte("<Error>")) {
				return x.response(), nil
			}
		}
		x.reply = s3Reply(http.StatusOK, rand.Text()[:16], rand.Text()+rand.Text(), xmlBody(result))
		return x.response(), nil
	}
}

// signBody makes the checksums in the headers those of the body. The signature is
// not made anew; LocalStack doesn't look at it.
func (x *exchange) signBody() {
	h := x.request.Header
	sum := sha256.Sum256(x.body)
	if h.Get("X-Amz-Content-Sha256") != "" {
		h.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	}
	if h.Get("X-Amz-Checksum-Crc32") != "" {
		crc := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(x.body))
		h.Set("X-Amz-Checksum-Crc32", base64.StdEncoding.EncodeToString(crc))
	}
}
