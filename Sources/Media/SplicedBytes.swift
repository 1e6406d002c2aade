import Foundation

/// Byte ranges read as one contiguous sequence: a new header before the body of a file, or the pages of one stream
/// without the bytes between them.
struct SplicedBytes: Sendable {
    private let stretches: [Data]
    /// Offset of each range in the sequence.
    private let starts: [Int]
    let count: Int

    init(_ stretches: [Data]) {
        self.stretches = stretches.filter { !$0.isEmpty }
        var starts: [Int] = []
        count = self.stretches.reduce(0) { start, stretch in
            starts.append(start)
            return start + stretch.count
        }
        self.starts = starts
    }

    /// Copies the bytes from `position` on.
    ///
    /// - Returns: the number of bytes copied: `size`, or fewer at the end.
    func copy(from position: Int, to buffer: UnsafeMutableRawPointer, size: Int) -> Int {
        guard position < count, size > 0 else { return 0 }
        var copied = 0
        var index = (starts.partitioningIndex { $0 > position }) - 1
        while copied < size, index < stretches.count {
            let first = position + copied - starts[index]
            let length = min(size - copied, stretches[index].count - first)
            stretches[index].withUnsafeBytes { bytes in
                (buffer + copied).copyMemory(from: bytes.baseAddress! + first, byteCount: length)
            }
            copied += length
            index += 1
        }
        return copied
    }

    /// The file's byte ranges between two positions, if the ranges are slices of the file: the memory that may be
    /// released.
    func fileRanges(_ range: Range<Int>) -> [Range<Int>] {
        zip(starts, stretches).compactMap { start, stretch in
            let part = range.clamped(to: start..<start + stretch.count)
            guard !part.isEmpty else { return nil }
            let offset = stretch.startIndex - start
            return part.lowerBound + offset..<part.upperBound + offset
        }
    }
}

extension RandomAccessCollection where Index == Int {
    /// The first index at which the predicate holds, if it holds for all elements after the first for which it does.
    fileprivate func partitioningIndex(_ belongsToSecond: (Element) -> Bool) -> Int {
        var (low, high) = (startIndex, endIndex)
        while low < high {
            let middle = (low + high) / 2
            if belongsToSecond(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
