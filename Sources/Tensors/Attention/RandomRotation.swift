import CKernels

/// A random orthogonal matrix, H · diag(signs) / √size with a Hadamard matrix H. The elements of a rotated vector are nearly
/// Gaussian, whatever the vector, so one quantizer suits all. The signs are fixed, because stored keys and values depend on them.
struct RandomRotation: Sendable {
    let size: Int

    /// ±1/√size for each size.
    private static let signs: [Int: [Float]] = {
        var state: UInt64 = 0x2504_1987_4000_0001
        // SplitMix64 (Steele, Lea and Flood, 2014).
        func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
            return z ^ z >> 31
        }
        var signs: [Int: [Float]] = [:]
        for size in [32, 64, 128, 256, 512] {
            let magnitude = 1 / Float(size).squareRoot()
            signs[size] = (0..<size).map { _ in next() >> 63 == 0 ? magnitude : -magnitude }
        }
        return signs
    }()

    /// - Parameter row: `[size]`.
    func apply(to row: UnsafeMutablePointer<Float>, _ kernels: kernel_set) {
        Self.signs[size]!.withUnsafeBufferPointer { kernels.multiply(row, row, $0.baseAddress!, size) }
        kernels.hadamard(row, size)
    }

    /// The inverse.
    func undo(on row: UnsafeMutablePointer<Float>, _ kernels: kernel_set) {
        kernels.hadamard(row, size)
        Self.signs[size]!.withUnsafeBufferPointer { kernels.multiply(row, row, $0.baseAddress!, size) }
    }
}
