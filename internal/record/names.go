package record

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/sdsaws/sdsaws/store"
)

// Kind is what an object in an archive is.
type Kind string

// The kinds of objects.
const (
	Segments Kind = "segments"
	Values   Kind = "values"
)

// Folder returns what the names of a channel's objects of one kind begin with.
func Folder(kind Kind, key store.Key) string {
	return NamespaceFolder(kind, key.Namespace) + ChannelFolder(key.Channel) + "/"
}

// NamespaceFolder returns what the names of all objects of one kind in a namespace begin with.
func NamespaceFolder(kind Kind, namespace string) string {
	return string(kind) + "/namespace=" + part(namespace) + "/"
}

const channelPart = "channel="

// ChannelFolder returns the part of Folder that stands for the channel.
func ChannelFolder(channel string) string { return channelPart + part(channel) }

// FolderChannel returns the channel that a part of a name stands for. False: it can't be
// known from it.
func FolderChannel(folder string) (string, bool) {
	digits, ok := strings.CutPrefix(folder, channelPart)
	b, err := hex.DecodeString(digits)
	return string(b), ok && err == nil && ChannelFolder(string(b)) == folder
}

// part is how a part of a key appears in names of objects: in hex, which all readers of
// such names leave as it is, or, when that is too long, as a hash.
func part(s string) string {
	const most = 200
	if 2*len(s) <= most {
		return hex.EncodeToString([]byte(s))
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + hex.EncodeToString(sum[:])
}
