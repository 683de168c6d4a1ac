package vectors

import (
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// keyColumn is the head of the column with the keys.
const keyColumn = "key_hex"

// enough is how many mismatches are told in words.
const enough = 3

// locate returns what should stand in a cell.
type locate func(key string) int

// check compares each cell of the table with what the project's placements say.
func (s *set) check(table io.Reader, res *Result) error {
	rows := csv.NewReader(table)
	head, err := rows.Read()
	if err != nil {
		return fmt.Errorf("the table has no head: %w", err)
	}
	keys, columns, err := s.match(head)
	if err != nil {
		return err
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		res.Rows++
		if err := s.checkRow(row, head, keys, columns, res); err != nil {
			return fmt.Errorf("row %d: %w", res.Rows, err)
		}
	}
	if res.Rows == 0 {
		return errors.New("the table has no rows")
	}
	return nil
}

// match returns which column of a table with that head has the keys, and what should
// stand in each of the others. All columns of the set must be there, and no others.
func (s *set) match(head []string) (keys int, columns []locate, err error) {
	keys = slices.Index(head, keyColumn)
	if keys < 0 {
		return 0, nil, fmt.Errorf("the table has no column %s", keyColumn)
	}
	columns = make([]locate, len(head))
	for _, c := range s.Columns {
		i := slices.Index(head, c.Name)
		if i < 0 || i == keys || columns[i] != nil {
			return 0, nil, fmt.Errorf("the table does not have the column %q once", c.Name)
		}
		if columns[i], err = s.locator(c); err != nil {
			return 0, nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
	}
	for i, name := range head {
		if i != keys && columns[i] == nil {
			return 0, nil, fmt.Errorf("the table has a column %q that the set does not know", name)
		}
	}
	return keys, columns, nil
}

func (s *set) checkRow(row, head []string, keys int, columns []locate, res *Result) error {
	key, err := hex.DecodeString(row[keys])
	if err != nil {
		return fmt.Errorf("%q is no key: %w", row[keys], err)
	}
	for i, cell := range row {
		if i == keys || cell == "" && s.Blank != "" {
			continue
		}
		res.Cells++
		want, err := strconv.Atoi(cell)
		got := columns[i](string(key))
		if err == nil && got == want {
			continue
		}
		res.Mismatches++
		if len(res.First) < enough {
			res.First = append(res.First, fmt.Sprintf("key %s (%.40q), column %s: %d, but the set has %q", row[keys], key, head[i], got, cell))
		}
	}
	return nil
}
