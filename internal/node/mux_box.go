package node

import "unsafe"

// newBulk returns room for the n bytes of a bulk string, to be filled by the
// caller, and the same as an interface value: a []byte, as redigo gives it.
//
// What Go makes of `any(make([]byte, n))` is two objects, the bytes and a slice
// header that the interface points to. Short strings come as one object that holds
// both. It costs its owner no more memory than the two would.
func newBulk(n int) (room []byte, boxed any) {
	if n > slabs[len(slabs)-1].room {
		p := make([]byte, n)
		return p, p
	}
	i := 0
	for slabs[i].room < n {
		i++
	}
	header := slabs[i].make()
	*header = (*header)[:n:n]
	return *header, boxSlice(header)
}

// bulks are the short strings that one caller gets, if there are several: as elements of
// an array or as replies to a batch. Some of them share two objects, one for the slice
// headers and one for the bytes. So whoever keeps but one of them keeps maxShelf bytes
// and mostShelf headers, at most.
type bulks struct {
	more    int // that are likely to come, with the next
	headers [][]byte
	bytes   []byte
}

const (
	maxShelf   = 1 << 10 // bytes
	mostShelf  = 16      // headers
	leastShelf = 4       // strings, for which it is worth it
)

// begin is for the next caller, who gets so many replies.
func (s *bulks) begin(more int) { *s = bulks{more: more} }

// next returns what newBulk does.
func (s *bulks) next(n int) (room []byte, boxed any) {
	s.more--
	if len(s.headers) == 0 || len(s.bytes) < n {
		if s.more+1 < leastShelf || n > maxShelf/leastShelf || len(s.headers) > mostShelf/2 {
			return newBulk(n) // half a shelf is too much to throw away
		}
		fit := min(s.more+1, mostShelf, maxShelf/max(n, 1))
		s.headers, s.bytes = make([][]byte, fit), make([]byte, fit*n)
	}
	header := &s.headers[0]
	*header, s.headers, s.bytes = s.bytes[:n:n], s.headers[1:], s.bytes[n:]
	return *header, boxSlice(header)
}

// slab is a slice header and the bytes that it stands for.
type slab[A any] struct {
	header []byte
	bytes  A
}

func newSlab[A any]() *[]byte {
	s := new(slab[A])
	s.header = unsafe.Slice((*byte)(unsafe.Pointer(&s.bytes)), unsafe.Sizeof(s.bytes))
	return &s.header
}

// slabs fill the allocator's size classes, the header included.
var slabs = [...]struct {
	room int
	make func() *[]byte
}{
	{8, newSlab[[8]byte]},
	{24, newSlab[[24]byte]},
	{40, newSlab[[40]byte]},
	{72, newSlab[[72]byte]},
	{104, newSlab[[104]byte]},
	{136, newSlab[[136]byte]},
	{200, newSlab[[200]byte]},
	{296, newSlab[[296]byte]},
	{488, newSlab[[488]byte]},
	{744, newSlab[[744]byte]},
	{1128, newSlab[[1128]byte]},
	{1512, newSlab[[1512]byte]},
	{2024, newSlab[[2024]byte]},
}

// boxed is how Go lays out an interface value without methods.
type boxed struct{ kind, value unsafe.Pointer }

// sliceKind is the first word of every interface value that holds a []byte.
var sliceKind = func() unsafe.Pointer {
	var p any = []byte(nil)
	return (*boxed)(unsafe.Pointer(&p)).kind
}()

// boxSlice returns *p as an interface value that points to p itself, where a
// conversion would point to a copy. *p must not change any more.
func boxSlice(p *[]byte) (v any) {
	*(*boxed)(unsafe.Pointer(&v)) = boxed{sliceKind, unsafe.Pointer(p)}
	return v
}
