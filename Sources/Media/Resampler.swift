import CSoxr

/// Resamples interleaved channels, chunk by chunk, with libsoxr at its "HQ" quality, which the reference uses too.
///
/// Sendable although it holds a C handle: the handle has one owner, and resampling needs exclusive access to it.
struct Resampler: ~Copyable, @unchecked Sendable {
    private let handle: soxr_t
    private let ratio: Double
    private let channels: Int

    /// `nil` if libsoxr cannot allocate memory.
    init?(from inputRate: Int, to outputRate: Int, channels: Int) {
        var failure: soxr_error_t?
        // Default specifications: 32-bit floats, interleaved, HQ, one thread.
        let created = soxr_create(
            Double(inputRate), Double(outputRate), UInt32(channels), &failure, nil, nil, nil)
        guard let created, failure == nil else { return nil }
        handle = created
        ratio = Double(outputRate) / Double(inputRate)
        self.channels = channels
    }

    deinit {
        soxr_delete(handle)
    }

    /// The output that can be computed after appending `samples`, `[frames, channels]`; the filter holds some back.
    mutating func append(_ samples: [Float]) -> [Float] {
        samples.isEmpty ? [] : samples.withUnsafeBufferPointer { process($0) }
    }

    /// The samples that the filter held back. Nothing can be appended afterwards.
    mutating func finish() -> [Float] {
        process(UnsafeBufferPointer(start: nil, count: 0))  // soxr: no input marks the end of the input
    }

    private func process(_ input: UnsafeBufferPointer<Float>) -> [Float] {
        var output: [Float] = []
        let frames = input.count / channels
        var consumed = 0
        let room = Int(Double(frames) * ratio) + 4096
        while true {
            let block = [Float](unsafeUninitializedCapacity: room * channels) { block, count in
                var (used, produced) = (0, 0)
                soxr_process(
                    handle, input.baseAddress.map { $0 + consumed * channels }, frames - consumed, &used,
                    block.baseAddress, room, &produced)
                consumed += used
                count = produced * channels
            }
            output += block
            if consumed == frames && block.count < room * channels { return output }
        }
    }
}
