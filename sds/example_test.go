package sds_test

import (
	"fmt"

	"github.com/sdsaws/sdsaws/sds"
)

// An encoded message is inspected without decoding the rest of it.
func ExampleInspectMessage() {
	m := sds.Message{MessageID: "m-1", LamportTimestamp: 42, ChannelID: "chat", Content: []byte("hello")}
	encoded, err := m.MarshalBinary()
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := sds.InspectMessage(encoded)
	fmt.Println(info.MessageID, info.LamportTimestamp, err)
	// Output: m-1 42 <nil>
}

// Damaged bytes are refused with what is wrong and where.
func ExampleChannelMeta_UnmarshalBinary() {
	var meta sds.ChannelMeta
	fmt.Println(meta.UnmarshalBinary([]byte{0x08, 0x02, 0x10, 0x00}))
	// Output: sds: decode ChannelMeta.schemaVersion at byte 1: unknown schema version
}
