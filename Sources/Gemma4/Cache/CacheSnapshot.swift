import Foundation
import Tensors

/// A key-value cache as bytes, with what it can be put back into.
///
/// A header of little-endian 64-bit words, then the pages of each layer that owns keys and values: keys, then values, as
/// they are in memory. What the positions hold, and of which model they are, is for the caller to say and to compare.
package enum CacheSnapshot {
    private static let magic = 0x3147_565f_344d_4547  // "GEM4_VG1"

    /// - Returns: a cache with all that `cache` holds, as bytes.
    package static func bytes(of cache: KVCache) -> Data {
        let layers = cache.pages
        let words =
            [magic, cache.length, layers.count]
            + layers.flatMap { [$0.first, $0.pages.count, $0.pages.first?.byteCount ?? 0] }
        var data = Data()
        for word in words { withUnsafeBytes(of: Int64(word).littleEndian) { data.append(contentsOf: $0) } }
        for page in layers.lazy.flatMap(\.pages) { page.withBytes { data.append(contentsOf: $0) } }
        return data
    }

    /// Fills an empty cache of the same model and type.
    ///
    /// - Returns: false, with the cache empty, if the bytes are of another kind of cache, or not all there.
    package static func restore(_ data: Data, into cache: KVCache, on device: Device) -> Bool {
        precondition(cache.length == 0, "CacheSnapshot: the cache holds \(cache.length) positions already")
        var offset = data.startIndex
        func word() -> Int? {
            guard data.endIndex - offset >= 8 else { return nil }
            defer { offset += 8 }
            let word = data[offset..<offset + 8].withUnsafeBytes {
                Int64(littleEndian: $0.loadUnaligned(as: Int64.self))
            }
            return Int(exactly: word)
        }
        guard word() == magic, let length = word(), length >= 0, word() == cache.pages.count else { return false }
        var layers: [(first: Int, count: Int, bytes: Int)] = []
        var total = 0
        for _ in cache.pages {
            guard let first = word(), let count = word(), let bytes = word(), first >= 0, count >= 0, bytes >= 0,
                case (let size, let overflow) = count.multipliedReportingOverflow(by: bytes), !overflow,
                case (let sum, let overflowed) = total.addingReportingOverflow(size), !overflowed
            else { return false }
            layers.append((first, count, bytes))
            total = sum
        }
        guard data.endIndex - offset == total, cache.accepts(layers, length: length) else { return false }
        cache.restore(length: length, layers.map { ($0.first, $0.count) }, on: device) { page in
            data[offset..<offset + page.byteCount].withUnsafeBytes { page.replaceBytes($0) }
            offset += page.byteCount
        }
        return true
    }
}
