import CSoxr

/// Changes the sample rate of one channel, block by block: libsoxr at its "HQ" quality, which the reference uses too.
///
/// Sendable although it holds a C handle: the handle has one owner, and resampling needs exclusive access to it.
struct Resampler: ~Copyable, @unchecked Sendable {
    private let handle: soxr_t
    private let ratio: Double

    /// `nil` where libsoxr finds no memory.
    init?(from inputRate: Int, to outputRate: Int) {
        var failure: soxr_error_t?
        // Without specifications: 32-bit floats, HQ, one thread.
        guard let handle = soxr_create(Double(inputRate), Double(outputRate), 1, &failure, nil, nil, nil),
            failure == nil
        else { return nil }
        self.handle = handle
        ratio = Double(outputRate) / Double(inputRate)
    }

    deinit {
        soxr_delete(handle)
    }

    /// What can be computed of the output once `samples` are known; the filter holds some back.
    mutating func append(_ samples: [Float]) -> [Float] {
        samples.isEmpty ? [] : samples.withUnsafeBufferPointer { process($0) }
    }

    /// What the filter held back.  Nothing can be appended afterwards.
    mutating func finish() -> [Float] {
        process(UnsafeBufferPointer(start: nil, count: 0))  // soxr: no input means that it has ended
    }

    private func process(_ input: UnsafeBufferPointer<Float>) -> [Float] {
        var output: [Float] = []
        var consumed = 0
        let room = Int(Double(input.count) * ratio) + 4096
        while true {
            let block = [Float](unsafeUninitializedCapacity: room) { block, produced in
                var used = 0
                soxr_process(
                    handle, input.baseAddress.map { $0 + consumed }, input.count - consumed, &used, block.baseAddress,
                    room,
                    &produced)
                consumed += used
            }
            output += block
            if consumed == input.count && block.count < room { return output }
        }
    }
}
