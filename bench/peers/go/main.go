// The workloads on the Go runtime: goroutines and wait groups. See workloads.h.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const queensN = 11

func fib(n int) int {
	if n < 2 {
		return n
	}
	var left int
	var group sync.WaitGroup
	group.Add(1)
	go func() { left = fib(n - 1); group.Done() }()
	right := fib(n - 2)
	group.Wait()
	return left + right
}

// Runs part(0) to part(n-1) as goroutines; returns the sum of their results.
func all(n int, part func(i int) int) int {
	results := make([]int, n)
	var group sync.WaitGroup
	group.Add(n)
	for i := range results {
		i := i
		go func() { results[i] = part(i); group.Done() }()
	}
	group.Wait()
	sum := 0
	for _, result := range results {
		sum += result
	}
	return sum
}

func skynet(first, leaves int) int {
	if leaves == 1 {
		return first
	}
	return all(10, func(i int) int { return skynet(first+i*(leaves/10), leaves/10) })
}

type board struct {
	row    int8
	column [queensN]int8
}

func (b *board) fits(column int8) bool {
	for i := int8(0); i < b.row; i++ {
		distance, across := b.row-i, column-b.column[i]
		if across == 0 || across == distance || across == -distance {
			return false
		}
	}
	return true
}

func queens(b board) int {
	if b.row == queensN {
		return 1
	}
	var next []board
	for column := int8(0); column < queensN; column++ {
		if b.fits(column) {
			child := b
			child.column[child.row] = column
			child.row++
			next = append(next, child)
		}
	}
	return all(len(next), func(i int) int { return queens(next[i]) })
}

func utsChild(parent, i uint64) uint64 {
	z := parent + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

func uts(node uint64) int {
	if float64(node>>11)/9007199254740992.0 >= 0.12 {
		return 1
	}
	return 1 + all(8, func(i int) int { return uts(utsChild(node, uint64(i))) })
}

var workloads = map[string]struct {
	ops float64
	run func() bool
}{
	"fib":     {1346268, func() bool { return fib(30) == 832040 }},
	"skynet":  {1111111, func() bool { return skynet(0, 1000000) == 499999500000 }},
	"nqueens": {2680, func() bool { return queens(board{}) == 2680 }},
	"uts":     {191672, func() bool { return all(8000, func(i int) int { return uts(utsChild(42, uint64(i))) }) == 191672 }},
	"storm":   {200000, func() bool { return all(200000, func(int) int { return 1 }) == 200000 }},
}

func main() {
	if len(os.Args) != 3 {
		os.Exit(2)
	}
	w, known := workloads[os.Args[1]]
	if !known {
		os.Exit(2)
	}
	threads, _ := strconv.Atoi(os.Args[2])
	runtime.GOMAXPROCS(threads)
	best := 1e300
	for i := 0; i < 3; i++ {
		start := time.Now()
		if !w.run() {
			os.Exit(1)
		}
		if took := float64(time.Since(start).Nanoseconds()); took < best {
			best = took
		}
	}
	fmt.Printf("%.4g\n", best/w.ops)
}
