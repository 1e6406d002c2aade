import Tensors

/// One medium on its way through its tower, in portions: other work can come between them.
package struct EncoderJob {
    /// A part of a tower.
    enum Stage {
        /// Takes all rows at once.
        case whole((Tensor) -> Tensor)
        /// Takes some rows at a time, once the keys and values of all of them are there.
        case byRows(keyValues: (Tensor) -> KeyValueSegment, apply: (Tensor, Range<Int>, KeyValueSegment) -> Tensor)
    }

    /// Fewer rows are multiplied by kernels whose sums have another order.
    static let fewestRows = 64

    private var stages: [Stage]  // the next one last
    private var hidden: Tensor
    private var keyValues: KeyValueSegment?
    /// What the present stage has made of the first rows.
    private var done: [Tensor] = []
    private var doneRows = 0

    init(_ input: Tensor, _ stages: some Collection<Stage>) {
        hidden = input
        self.stages = stages.reversed()
    }

    /// Runs the next portion: a stage, or `rows` rows of one that can be cut.
    ///
    /// - Returns: the soft tokens, `[softTokenCount, hiddenSize]`, if it was the last.
    package mutating func advance(rows: Int) -> Tensor? {
        switch stages.last! {
        case .whole(let apply): next(apply(hidden))
        case .byRows(let makeKeyValues, let apply):
            guard let keyValues else {
                keyValues = makeKeyValues(hidden)
                return nil
            }
            // So that a portion is never so small that other kernels multiply it.
            let left = hidden.rows - doneRows
            let range = doneRows..<doneRows + (left < rows + Self.fewestRows ? left : max(rows, Self.fewestRows))
            done.append(apply(hidden, range, keyValues))
            doneRows = range.upperBound
            if doneRows == hidden.rows { next(.concatenated(done)) }
        }
        return stages.isEmpty ? hidden : nil
    }

    private mutating func next(_ result: Tensor) {
        (hidden, keyValues, done, doneRows) = (result, nil, [], 0)
        stages.removeLast()
    }

    /// Runs what is left.
    mutating func finish() -> Tensor {
        while true { if let softTokens = advance(rows: .max / 2) { return softTokens } }
    }
}

extension Gemma4Model {
    /// The work of the vision tower on one picture.
    ///
    /// - Throws: `ModelInputError` if the checkpoint has no vision tower, or no positions for so long a picture.
    package func encoderJob(_ patches: ImagePatches) throws -> EncoderJob {
        guard let vision else { throw ModelInputError(.noTower("image")) }
        let values = Tensor(patches.values, [patches.count, patches.values.count / max(1, patches.count)], on: device)
        return EncoderJob(values, try vision.tower.stages(patches.grid) + [.whole { vision.embedder($0) }])
    }

    /// The work of the audio tower on one recording of at most 30 s.
    ///
    /// - Parameter frames: log-mel frames, `[frames, 128]`, row-major.
    /// - Throws: `ModelInputError` if the checkpoint has no audio tower.
    package func encoderJob(melFrames frames: [Float]) throws -> EncoderJob {
        guard let audio else { throw ModelInputError(.noTower("audio")) }
        let bands = SubsampleConvolution.melBins
        let values = Tensor(frames, [frames.count / bands, bands], on: device)
        return EncoderJob(values, audio.tower.stages + [.whole { audio.embedder($0) }])
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
    package func softTokens(_ patches: ImagePatches) throws -> Tensor {
        var job = try encoderJob(patches)
        return job.finish()
    }

    /// The soft tokens of one recording of at most 30 s.
    ///
    /// - Parameter frames: log-mel frames, `[frames, 128]`, row-major.
    /// - Returns: `[⌈frames / 4⌉, hiddenSize]`.
    /// - Throws: `ModelInputError` if the checkpoint has no audio tower.
    package func softTokens(melFrames frames: [Float]) throws -> Tensor {
        var job = try encoderJob(melFrames: frames)
        return job.finish()
    }
}
