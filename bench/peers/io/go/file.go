// file.go: the files of files.h in Go.
package main

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	blockBytes = 4096
	copyBytes  = 1 << 20
)

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(0, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// For O_DIRECT.
func alignedBlock() []byte {
	b := make([]byte, 2*blockBytes)
	at := int(-uintptr(unsafe.Pointer(&b[0])) % blockBytes)
	return b[at : at+blockBytes]
}

func readSome(f *os.File, blocks int64, seed int64, end time.Time, reads *int64) {
	random := rand.New(rand.NewSource(seed))
	block := alignedBlock()
	for time.Now().Before(end) {
		at := random.Int63n(blocks)
		_, err := f.ReadAt(block, at*blockBytes)
		check(err)
		checkBlock(block, at)
		atomic.AddInt64(reads, 1)
	}
}

func checkBlock(block []byte, at int64) {
	if *(*int64)(unsafe.Pointer(&block[0])) != at {
		check(fmt.Errorf("block %d is another", at))
	}
}

func readAll(args []string) {
	depth, err := strconv.Atoi(args[1])
	check(err)
	seconds, err := strconv.ParseFloat(args[2], 64)
	check(err)
	flags := os.O_RDONLY
	if args[3] == "1" {
		flags |= syscall.O_DIRECT
	}
	f, err := os.OpenFile(args[0], flags, 0)
	check(err)
	info, err := f.Stat()
	check(err)
	var reads int64
	var group sync.WaitGroup
	start, startCPU := time.Now(), cpu()
	end := start.Add(time.Duration(seconds * 1e9))
	for i := 0; i < depth; i++ {
		group.Add(1)
		go func(seed int64) {
			defer group.Done()
			readSome(f, info.Size()/blockBytes, seed, end, &reads)
		}(int64(i) + 1)
	}
	group.Wait()
	elapsed, used := time.Since(start), cpu()-startCPU
	fmt.Printf("cpu_us=%.4f requests_s=%.1f\n", float64(used)/1e3/float64(reads), float64(reads)/elapsed.Seconds())
}

func copyAll(from, to string) {
	a, err := os.Open(from)
	check(err)
	b, err := os.Create(to)
	check(err)
	start := time.Now()
	// the structs hide that both are files: reads and writes are measured, not copy_file_range
	n, err := io.CopyBuffer(struct{ io.Writer }{b}, struct{ io.Reader }{a}, make([]byte, copyBytes))
	check(err)
	fmt.Printf("bytes_s=%.0f\n", float64(n)/time.Since(start).Seconds())
}
