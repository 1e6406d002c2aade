/// The pieces of a vocabulary by id, and ids by piece.
///
/// Pieces are compared by their UTF-8 bytes: 434 pieces of the published vocabulary are canonically equivalent to
/// another one, and would collide as keys of a Swift `Dictionary<String, _>`.
struct Vocabulary: Sendable {
    private var bytes: [UInt8] = []
    private var places: [Place] = []  // by id
    private var slots: [Slot]  // a power of two; open addressing, at most half full
    private var pieceCount = 0

    /// The range of a piece in `bytes`.
    private struct Place {
        var start: Int32 = 0
        var length: Int32 = -1  // no such id
    }

    /// An id with its piece's hash, which rejects most other pieces without reading them and lets the table grow
    /// without rehashing.
    private struct Slot {
        var id: Int32 = -1  // empty
        var hash: UInt32 = 0
    }

    /// - Parameter capacity: number of pieces that fit before the table grows.
    init(capacity: Int = 0) {
        let least = max(16, 2 * capacity)
        slots = Array(repeating: Slot(), count: 1 << (Int.bitWidth - (least - 1).leadingZeroBitCount))
        places.reserveCapacity(capacity)
    }

    /// One past the greatest id.
    var count: Int { places.count }

    func piece(_ id: Int) -> ArraySlice<UInt8>? {
        guard places.indices.contains(id), places[id].length >= 0 else { return nil }
        let start = Int(places[id].start)
        return bytes[start..<start + Int(places[id].length)]
    }

    func id(_ piece: some Collection<UInt8>) -> Int? {
        let slot = slots[self.slot(piece, hash: Self.hash(piece))]
        return slot.id < 0 ? nil : Int(slot.id)
    }

    /// The ids of many pieces in `text`; nil for pieces that are missing.
    ///
    /// Half a million random memory accesses dominate loading a vocabulary. Doing each step for all pieces lets several
    /// cache misses overlap.
    func ids(of pieces: [Range<Int>], in text: [UInt8]) -> [Int?] {
        let mask = slots.count - 1
        let hashes = pieces.map { Self.hash(text[$0]) }
        let firstSlots = hashes.map { slots[Int($0) & mask] }
        let candidates = zip(hashes, firstSlots).map { hash, slot in
            slot.id >= 0 && slot.hash == hash ? places[Int(slot.id)] : Place()
        }
        return pieces.indices.map { index in
            let piece = text[pieces[index]]
            return isEqual(candidates[index], piece) ? Int(firstSlots[index].id) : id(piece)
        }
    }

    /// The id of a piece, tried first at `neighbor` and the id after it, the usual order of merges.
    func id(_ piece: ArraySlice<UInt8>, near neighbor: Int) -> Int? {
        for id in neighbor...neighbor + 1 where places.indices.contains(id) && isEqual(places[id], piece) {
            return id
        }
        return id(piece)
    }

    enum Insertion { case added, duplicateId, duplicatePiece }

    /// - Precondition: 0 <= id < 2³¹.
    mutating func insert(_ piece: some Collection<UInt8>, id: Int) -> Insertion {
        if id < places.count, places[id].length >= 0 { return .duplicateId }
        let hash = Self.hash(piece)
        var slot = self.slot(piece, hash: hash)
        guard slots[slot].id < 0 else { return .duplicatePiece }
        if 2 * (pieceCount + 1) > slots.count {
            grow()
            slot = self.slot(piece, hash: hash)
        }
        while places.count <= id { places.append(Place()) }
        places[id] = Place(start: Int32(bytes.count), length: Int32(piece.count))
        bytes.append(contentsOf: piece)
        slots[slot] = Slot(id: Int32(id), hash: hash)
        pieceCount += 1
        return .added
    }

    /// FNV-1a, 64 bits folded to 32.
    private static func hash(_ piece: some Collection<UInt8>) -> UInt32 {
        let hash = piece.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
        return UInt32(truncatingIfNeeded: hash ^ (hash >> 32))
    }

    /// The slot that holds the piece, or the empty slot for it.
    private func slot(_ piece: some Collection<UInt8>, hash: UInt32) -> Int {
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while slots[slot].id >= 0, slots[slot].hash != hash || !isEqual(places[Int(slots[slot].id)], piece) {
            slot = (slot + 1) & mask
        }
        return slot
    }

    private func isEqual(_ place: Place, _ piece: some Collection<UInt8>) -> Bool {
        guard piece.count == Int(place.length) else { return false }
        var offset = Int(place.start)
        for byte in piece {
            guard bytes[offset] == byte else { return false }
            offset += 1
        }
        return true
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: Slot(), count: 2 * old.count)
        let mask = slots.count - 1
        for entry in old where entry.id >= 0 {
            var slot = Int(entry.hash) & mask
            while slots[slot].id >= 0 { slot = (slot + 1) & mask }
            slots[slot] = entry
        }
    }
}
