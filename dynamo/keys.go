package dynamo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/sdsaws/sdsaws/store"
)

const (
	// maxKey keeps partition keys below DynamoDB's limit for them (2048 bytes) and for
	// the sort key of an index (1024 bytes), which they are in the index of channels.
	maxKey = 1024

	// Sort keys. A Query that runs backwards from the head has the head first, then the
	// messages from the newest on.
	messagePrefix = "m#"
	headKey       = "n#"
	segmentPrefix = "s#"
)

// escape writes arbitrary bytes as printable ASCII: letters, digits, '-', '.', '_' and
// '~' as they are, all else as %XX. Different bytes give different text, and none of it
// holds '/', ':', '*' or '?'.
func escape(s string) string {
	i := 0
	for i < len(s) && plain(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// partition returns the partition key of something in a namespace: the namespace
// first and in clear, so that a policy can confine a tenant to it, then its name, or
// the name's hash where it is too long. Then hashed is true, and the name has
// to be kept elsewhere.
func partition(namespace, name string, limit int) (key string, hashed bool) {
	prefix := escape(namespace) + "/"
	if len(name) <= limit { // spares a long name's escaping
		if key := prefix + escape(name); len(key) <= limit {
			return key, false
		}
	}
	return prefix + hash(name), true
}

// hash returns what stands for a name that is too long.
func hash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hashedName + hex.EncodeToString(sum[:])
}

func channelKey(key store.Key) (pk string, hashed bool) {
	return partition(key.Namespace, key.Channel, maxKey)
}

func messageKey(offset uint64) string { return messagePrefix + digits(offset) }
func segmentKey(from uint64) string   { return segmentPrefix + digits(from) }

// digits returns 16 hex digits, so that text sorts as numbers do.
func digits(offset uint64) string {
	d := strconv.FormatUint(offset, 16)
	return "0000000000000000"[len(d):] + d
}

// keyOffset undoes messageKey and segmentKey.
func keyOffset(prefix, sk string) (uint64, error) {
	text, ok := strings.CutPrefix(sk, prefix)
	offset, err := strconv.ParseUint(text, 16, 64)
	if !ok || err != nil || prefix+digits(offset) != sk {
		return 0, fmt.Errorf("%w: sort key %s…", store.ErrMalformed, prefix)
	}
	return offset, nil
}

// hashedName is what a hash begins with.
const hashedName = ":sha256:"

// unescape undoes escape.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+3 > len(s) {
			return "", fmt.Errorf("%w: escaped key", store.ErrMalformed)
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("%w: escaped key", store.ErrMalformed)
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), nil
}
