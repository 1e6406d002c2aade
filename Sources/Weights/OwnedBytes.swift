/// Weights in memory, for those that cannot be used where they lie in a file, or lie in none.
///
/// `@unchecked Sendable`: written by `fill` only, before anyone else sees them.
final class OwnedBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count), alignment: 64)
        fill(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
        bytes = UnsafeRawBufferPointer(buffer)
    }

    deinit { bytes.deallocate() }
}
