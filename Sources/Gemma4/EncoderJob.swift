import Tensors

/// One medium on its way through its tower, in portions: other work can come between them.
package struct EncoderJob {
    private var portions: [(Tensor) -> Tensor]
    private var hidden: Tensor

    fileprivate init(_ input: Tensor, _ portions: [(Tensor) -> Tensor]) {
        hidden = input
        self.portions = portions.reversed()
    }

    /// Runs the next portion.
    ///
    /// - Returns: the soft tokens, `[softTokenCount, hiddenSize]`, if it was the last.
    package mutating func advance() -> Tensor? {
        hidden = portions.removeLast()(hidden)
        return portions.isEmpty ? hidden : nil
    }

    /// Runs what is left.
    mutating func finish() -> Tensor {
        while true { if let softTokens = advance() { return softTokens } }
    }
}

extension Gemma4Model {
    /// The work of the vision tower on one picture.
    ///
    /// - Throws: `ModelInputError` if the checkpoint has no vision tower, or no positions for so long a picture.
    package func encoderJob(_ patches: ImagePatches) throws -> EncoderJob {
        guard let vision else { throw ModelInputError(.noTower("image")) }
        let values = Tensor(patches.values, [patches.count, patches.values.count / max(1, patches.count)], on: device)
        return EncoderJob(values, try vision.tower.portions(patches.grid) + [{ vision.embedder($0) }])
    }

    /// The work of the audio tower on one recording of at most 30 s.
    ///
    /// - Parameter frames: log-mel frames, `[frames, 128]`, row-major.
    /// - Throws: `ModelInputError` if the checkpoint has no audio tower.
    package func encoderJob(melFrames frames: [Float]) throws -> EncoderJob {
        guard let audio else { throw ModelInputError(.noTower("audio")) }
        let bands = SubsampleConvolution.melBins
        let values = Tensor(frames, [frames.count / bands, bands], on: device)
        return EncoderJob(values, audio.tower.portions + [{ audio.embedder($0) }])
    }

    /// The soft tokens of a recording: ⌈frames / 4⌉.
    ///
    /// - Parameter count: log-mel values, 128 a frame.
    package static func softTokenCount(melValues count: Int) -> Int {
        (count / SubsampleConvolution.melBins + 3) / 4
    }

    /// The soft tokens of one picture.
    ///
    /// - Returns: `[softTokenCount, hiddenSize]`.
    /// - Throws: `ModelInputError` if the checkpoint has no vision tower, or no positions for so long a picture.
    public func softTokens(_ patches: ImagePatches) throws -> Tensor {
        var job = try encoderJob(patches)
        return job.finish()
    }

    /// The soft tokens of one recording of at most 30 s.
    ///
    /// - Parameter frames: log-mel frames, `[frames, 128]`, row-major.
    /// - Returns: `[⌈frames / 4⌉, hiddenSize]`.
    /// - Throws: `ModelInputError` if the checkpoint has no audio tower.
    public func softTokens(melFrames frames: [Float]) throws -> Tensor {
        var job = try encoderJob(melFrames: frames)
        return job.finish()
    }
}
