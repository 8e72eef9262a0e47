package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// A namespace, by which readers choose among files, has up to 256 bytes.
const maxBound = 256

// trailer is what ends a Parquet file: the size of the footer, and "PAR1".
const trailer = 8

// withPlainFooter takes out of the footer of a file what costs or misleads its readers:
//
//   - Least and greatest values longer than maxBound. The writer notes them whole, those of
//     content and bloom_filter too, and every query reads the footer first.
//   - Where the column indexes are. They cut the bounds of pages at 16 bytes, and take
//     sixteen 0xff for an upper bound of all that begins with them: readers that use the
//     index would miss rows. A column has a page or a few; the bounds in the footer tell as
//     much.
func withPlainFooter(file []byte) ([]byte, error) {
	end := len(file) - trailer
	start := end - int(binary.LittleEndian.Uint32(file[end:]))
	var footer format.FileMetaData
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), file[start:end], &footer); err != nil {
		return nil, fmt.Errorf("segment: footer: %w", err)
	}
	for i := range footer.RowGroups {
		columns := footer.RowGroups[i].Columns
		for j := range columns {
			columns[j].ColumnIndexOffset, columns[j].ColumnIndexLength = 0, 0
			if s := &columns[j].MetaData.Statistics; max(len(s.MinValue), len(s.MaxValue)) > maxBound {
				s.MinValue, s.MaxValue = nil, nil
			}
		}
	}
	plain, err := thrift.Marshal(new(thrift.CompactProtocol), &footer)
	if err != nil {
		return nil, fmt.Errorf("segment: footer: %w", err)
	}
	file = append(file[:start], plain...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(plain))) //nolint:gosec // below the size of the file
	return append(file, "PAR1"...), nil
}
