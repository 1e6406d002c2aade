/// Weights in memory, for those that cannot be mapped from a file or are not stored in one.
///
/// `@unchecked Sendable`: written by `fill` only, before they are shared.
final class OwnedBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count), alignment: 64)
        fill(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
        bytes = UnsafeRawBufferPointer(buffer)
    }

    deinit { bytes.deallocate() }
}
