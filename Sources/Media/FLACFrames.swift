import Foundation

/// Finds FLAC frames after damage: each frame header holds the number of its frame or first sample.
///
/// Source: RFC 9639, 9.1.
extension SourceBytes {
    /// Offset of the first frame of a FLAC file; nil for other files.
    var flacFrames: Int? {
        guard text(at: 0, count: 4) == "fLaC" else { return nil }
        var place = 4
        while let type = integer(at: place, .big, bytes: 1), let length = integer(at: place + 1, .big, bytes: 3) {
            place += 4 + length
            if type & 0x80 != 0 { return place < bytes.count ? place : nil }
        }
        return nil
    }

    /// The first intact frame at or after `place` that has no sample before `sample`.
    ///
    /// - Returns: its offset and its first sample.
    func flacFrame(from place: Int, notBefore sample: Int) -> (place: Int, sample: Int)? {
        var place = place
        while let frame = flacHeader(from: place) {
            if frame.sample >= sample, isWhole(frame) { return frame }
            place = frame.place + 1
        }
        return nil
    }

    /// The first sample of the frame that ends before `sample`, if that frame is broken: decoders return silence for
    /// it.
    func brokenFlacFrame(before sample: Int, from place: Int) -> Int? {
        let blockSize = integer(at: 10, .big, bytes: 2) ?? 0
        var (place, last) = (place, (place: 0, sample: -1))
        while let frame = flacHeader(from: place), frame.sample < sample {
            if frame.sample >= sample - blockSize { last = frame }
            place = frame.place + 1
        }
        return last.sample < 0 || isWhole(last) ? nil : last.sample
    }

    private func flacHeader(from place: Int) -> (place: Int, sample: Int)? {
        let blockSize = integer(at: 8, .big, bytes: 2) ?? 0
        return bytes.withUnsafeBytes { bytes in
            var start = place
            while start + 16 < bytes.count, let found = memchr(bytes.baseAddress! + start, 0xFF, bytes.count - start) {
                start = bytes.baseAddress!.distance(to: UnsafeRawPointer(found))
                let head = bytes[start..<min(bytes.count, start + 16)]
                if let first = Self.firstSample(Array(head), blockSize) { return (start, first) }
                start += 1
            }
            return nil
        }
    }

    /// Maximum frame length that is searched: 8 channels of 32 bits.
    private static let longestFrame = 1 << 21

    /// Whether the frame's CRC-16 is right, wherever the next frame begins.
    private func isWhole(_ frame: (place: Int, sample: Int)) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var (crc, counted) = (UInt16(0), frame.place)
            var next = frame.place
            while next < bytes.count, next - frame.place < Self.longestFrame {
                next = flacHeader(from: next + 1)?.place ?? bytes.count
                while counted < next - 2 {
                    crc = crc << 8 ^ Self.table[Int(UInt8(truncatingIfNeeded: crc >> 8) ^ bytes[counted])]
                    counted += 1
                }
                if crc == UInt16(bytes[next - 2]) << 8 | UInt16(bytes[next - 1]) { return true }
            }
            return false
        }
    }

    /// CRC-16 with the polynomial 0x8005.
    private static let table: [UInt16] = (0..<256).map { index in
        (0..<8).reduce(UInt16(index) << 8) { crc, _ in crc >> 15 == 1 ? crc << 1 ^ 0x8005 : crc << 1 }
    }

    /// The first sample of the frame with this header; nil if it is not a frame header.
    ///
    /// - Parameter blockSize: samples of every frame but the last, for streams of fixed block size, which number frames
    ///   instead of samples.
    private static func firstSample(_ head: [UInt8], _ blockSize: Int) -> Int? {
        guard head.count == 16, head[1] & 0xFE == 0xF8 else { return nil }
        let (isVariable, size, rate) = (head[1] & 1 == 1, Int(head[2] >> 4), Int(head[2] & 15))
        guard size > 0, rate < 15, head[3] >> 4 < 11, head[3] & 1 == 0 else { return nil }
        // The number is coded like UTF-8, in up to seven bytes.
        let ones = (~head[4]).leadingZeroBitCount
        guard ones != 1, ones < 8 else { return nil }
        let length = max(1, ones)
        var number = Int(head[4] & UInt8(truncatingIfNeeded: 0x7F >> ones))
        for byte in head[5..<4 + length] {
            guard byte >> 6 == 2 else { return nil }
            number = number << 6 | Int(byte & 0x3F)
        }
        // Block sizes and sample rates without a code follow explicitly.
        let place = 4 + length + (size == 6 ? 1 : size == 7 ? 2 : 0) + (rate == 12 ? 1 : rate > 12 ? 2 : 0)
        guard place < head.count, checksum(head[..<place]) == head[place] else { return nil }
        return isVariable ? number : number * blockSize
    }

    /// CRC-8 with the polynomial 0x07.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt8 {
        bytes.reduce(0) { crc, byte in
            (0..<8).reduce(crc ^ byte) { crc, _ in crc & 0x80 != 0 ? crc << 1 ^ 0x07 : crc << 1 }
        }
    }
}
