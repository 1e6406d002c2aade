import CSndFile
import Foundation

/// A read position in bytes, as the file-like input of the C libraries.
final class ByteStream {
    private let source: SourceBytes
    private let bytes: SplicedBytes
    private var position = 0
    /// Memory of the bytes before this position has been released.
    private var forgotten = 0

    init(_ source: SourceBytes, _ bytes: SplicedBytes) {
        self.source = source
        self.bytes = bytes
    }

    // MARK: Callbacks of libsndfile

    static var callbacks: SF_VIRTUAL_IO {
        SF_VIRTUAL_IO(
            get_filelen: { sf_count_t(ByteStream.at($0).bytes.count) },
            seek: { sf_count_t(ByteStream.at($2).seek(to: Int($0), from: $1)) },
            read: { sf_count_t(ByteStream.at($2).read(into: $0, count: Int($1))) },
            write: { _, _, _ in 0 },
            tell: { sf_count_t(ByteStream.at($0).position) })
    }

    // MARK: Callbacks of libmpg123

    static let readDescriptor: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, Int) -> Int = {
        ByteStream.at($0).read(into: $1, count: $2)
    }
    static let seekDescriptor: @convention(c) (UnsafeMutableRawPointer?, off_t, Int32) -> off_t = {
        off_t(ByteStream.at($0).seek(to: Int($1), from: $2))
    }

    /// The decoder owns both the stream and the handle that holds its address, so the stream outlives the handle.
    private static func at(_ address: UnsafeMutableRawPointer?) -> ByteStream {
        Unmanaged<ByteStream>.fromOpaque(address!).takeUnretainedValue()
    }

    private func seek(to offset: Int, from whence: Int32) -> Int {
        let base =
            switch whence {
            case SEEK_CUR: position
            case SEEK_END: bytes.count
            default: 0
            }
        let (target, overflows) = base.addingReportingOverflow(offset)
        guard !overflows, target >= 0 else { return -1 }
        position = target
        return target
    }

    private func read(into buffer: UnsafeMutableRawPointer?, count: Int) -> Int {
        guard let buffer else { return 0 }
        let copied = bytes.copy(from: position, to: buffer, size: count)
        position += copied
        if position - forgotten > 1 << 23 {
            for range in bytes.fileRanges(forgotten..<position) { source.forget(range) }
            forgotten = position
        }
        return copied
    }
}
