/// A float32 array as a `.npy` file, version 1.0, little-endian, row-major.
///
/// Source: NumPy, `numpy/lib/format.py`.
struct NumpyFile {
    let bytes: [UInt8]

    init(_ values: [Float], shape: [Int]) {
        let sizes = shape.map { "\($0)," }.joined(separator: " ")
        let description = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(sizes)), }"
        // Magic, version, length: 10 bytes. Padded with spaces and a newline, so that the data begins at a multiple of
        // 64.
        let length = (10 + description.utf8.count + 1 + 63) / 64 * 64 - 10
        let padding = String(repeating: " ", count: length - description.utf8.count - 1)
        var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)]
        bytes += Array((description + padding + "\n").utf8)
        bytes.reserveCapacity(bytes.count + 4 * values.count)
        for value in values {
            withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
        }
        self.bytes = bytes
    }
}
