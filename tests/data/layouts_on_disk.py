"""The field's layouts, made small and in their exact format. Faces are patterns: no photo is needed to test readers."""

from __future__ import annotations

import json

import cv2
import numpy as np

FER_LABELS = [0, 1, 2, 3, 4, 5, 6, 3]
USAGES = ["Training"] * 5 + ["PublicTest", "PrivateTest", "Training"]
FERPLUS_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def pattern(seed, side=48):
    """A smooth picture that differs from those of other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def pixel_text(image):
    return " ".join(map(str, image.ravel().tolist()))


def jpeg(seed, side=64, extension=".jpg"):
    return cv2.imencode(extension, cv2.cvtColor(pattern(seed, side), cv2.COLOR_GRAY2BGR))[1].tobytes()


def write_fer2013(path, labels=None, usages=None, images=None):
    labels, usages = labels or FER_LABELS, usages or USAGES
    images = images if images is not None else [pattern(i) for i in range(len(labels))]
    lines = [f"{a},{pixel_text(b)},{c}" for a, b, c in zip(labels, images, usages, strict=True)]
    path.write_text("emotion,pixels,Usage\n" + "\n".join(lines) + "\n")
    return path


def write_icml(path):
    # The leading spaces in the header and before the pixels are in the published file.
    lines = [f"{a},{c}, {pixel_text(pattern(i))}" for i, (a, c) in enumerate(zip(FER_LABELS, USAGES, strict=True))]
    path.write_text("emotion, Usage, pixels\n" + "\n".join(lines) + "\n")
    return path


def write_ferplus(path, votes, usages=None):
    lines = [
        f"{usage},fer{i:07d}.png,{','.join(map(str, row))}"
        for i, (usage, row) in enumerate(zip(usages or USAGES, votes, strict=True))
    ]
    path.write_text(FERPLUS_HEADER + "\n" + "\n".join(lines) + "\n")
    return path


def write_ferplus_folders(root, images=True):
    """As FER+'s repository has the tables, and its generate_training_data.py writes the images."""
    rows = {
        "FER2013Valid": [("fer0028638.png", "4,0,0,0,1,0,0,4,1,0")],
        "FER2013Train": [("fer0000000.png", "0,0,0,0,4,0,0,1,5,0"), ("fer0000001.png", "0,9,0,1,0,0,0,0,0,0")],
        "FER2013Test": [("fer0032220.png", "1,0,0,1,0,2,0,6,0,0")],
    }
    for folder, faces in rows.items():
        (root / folder).mkdir(parents=True)
        (root / folder / "label.csv").write_text("".join(f'{name},"(0, 0, 48, 48)",{votes}\n' for name, votes in faces))
        for name, _ in faces if images else ():
            (root / folder / name).write_bytes(jpeg(int(name[3:-4]), 48, extension=".png"))
    return root


def write_folders(root, splits, classes, extension=".png"):
    """`splits` as paths below the root ('' for none), two images a class."""
    for s, split in enumerate(splits):
        for c, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(2):
                (folder / f"im{i}{extension}").write_bytes(jpeg(100 * s + 10 * c + i, extension=extension))
    return root


def write_table(path, classes, delimiter=",", folder="images", header="path{0}label"):
    """An image for each class, named as Windows names files."""
    lines = [header.format(delimiter)]
    for i, name in enumerate(classes):
        image = path.parent / folder / "sub" / f"{i}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(jpeg(i, extension=".png"))
        lines.append(f"sub\\{i}.png{delimiter}{name}")
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    return path


def write_rafdb(root, aligned=True):
    listing = root / "basic" / "EmoLabel" / "list_patition_label.txt"
    listing.parent.mkdir(parents=True)
    rows = [("train_00001", 5), ("train_00002", 1), ("test_0001", 7)]
    listing.write_text("".join(f"{name}.jpg {label}\n" for name, label in rows))
    images = root / "basic" / "Image" / ("aligned" if aligned else "original")
    images.mkdir(parents=True)
    for i, (name, _) in enumerate(rows):
        (images / f"{name}{'_aligned' if aligned else ''}.jpg").write_bytes(jpeg(i, 100))
        if not aligned:
            manual = root / "basic" / "Annotation" / "manual"
            manual.mkdir(parents=True, exist_ok=True)
            points = [(30, 40), (60, 41), (45, 55), (33, 70), (58, 71)]
            (manual / f"{name}_manu_attri.txt").write_text("".join(f"{x}\t{y}\n" for x, y in points) + "1\n0\n2\n")
            boxes = root / "basic" / "boundingbox"
            boxes.mkdir(exist_ok=True)
            (boxes / f"{name}_boundingbox.txt").write_text("20.5 25 75 85\n")
    return root


def write_rafdb_folders(root):
    """As Kaggle has it: numbered folders, and tables beside the folder of all that say the same."""
    for split, first in (("train", "00001"), ("test", "0001")):
        for label in range(1, 8):
            name = f"{split}_{int(first) + label:0{len(first)}d}_aligned.jpg"
            image = root / "DATASET" / split / str(label) / name
            image.parent.mkdir(parents=True)
            image.write_bytes(jpeg(label, 100))
            with (root / f"{split}_labels.csv").open("a") as table:
                table.write(("image,label\n" if label == 1 else "") + f"{name},{label}\n")
    return root


def write_affectnet(root, header_of_validation=True):
    images = root / "Manually_Annotated_Images"
    (images / "1").mkdir(parents=True)
    for i in range(4):
        (images / "1" / f"{i}.jpg").write_bytes(jpeg(i, 80))
    points = ";".join(f"{x}.5" for x in range(136))
    (root / "training.csv").write_text(
        f"{AFFECTNET_HEADER}\n1/0.jpg,10,12,60,61,{points},1,0.78,0.11\n1/1.jpg,0,0,80,80,{points},10,-2,-2\n"
        f"1/2.jpg,0,0,80,80,{points},7,-0.5,0.2\n"
    )
    text = f"1/3.jpg,5,5,70,70,{points},0,-2,-2\n"
    (root / "validation.csv").write_text((AFFECTNET_HEADER + "\n" if header_of_validation else "") + text)
    return root


def write_affectnet_sets(root):
    """As it is given out since 2021: an expression, valence and arousal as texts, landmarks as numbers."""
    for split, rows in (("train_set", [("1", "0.78", "0.11"), ("10", "-2", "-2"), ("7", "-0.5", "0.2")]),
                        ("val_set", [("0", "-2.0", "-2.0")])):  # fmt: skip
        (root / split / "images").mkdir(parents=True)
        (root / split / "annotations").mkdir()
        for i, (expression, valence, arousal) in enumerate(rows):
            (root / split / "images" / f"{i}.jpg").write_bytes(jpeg(i, 80))
            values = {"exp": np.array(expression), "val": np.array(valence), "aro": np.array(arousal)}
            for name, value in {**values, "lnd": np.arange(136) + 0.5}.items():
                np.save(root / split / "annotations" / f"{i}_{name}.npy", value)
    return root


def write_kdef(root):
    for person, codes in (("AF01", ("AFS", "HAHL")), ("test/BM02", ("nefr", "H"))):
        (root / person).mkdir(parents=True)
        for i, code in enumerate(codes):
            (root / person / f"{person[-4:]}{code}.JPG").write_bytes(jpeg(i))
    return root


def write_jaffe(root):
    root.mkdir()
    for i, name in enumerate(("KA.AN1.39.tiff", "KA.FE2.46.tiff", "YM.NE3.51.tiff")):
        (root / name).write_bytes(jpeg(i, extension=".tiff"))
    return root


def write_rafd(root):
    root.mkdir()
    for i, name in enumerate(("090_28_Caucasian_male_angry_frontal", "045_01_Caucasian_female_contemptuous_left")):
        (root / f"Rafd{name}.jpg").write_bytes(jpeg(i))
    return root


def write_cohn_kanade(root, landmarks=False):
    """Three sequences of two persons; the last has no label."""
    for person, sequence, frames, code in (("S005", "001", 6, 3), ("S005", "002", 3, 7), ("S010", "001", 4, None)):
        folder = root / "cohn-kanade-images" / person / sequence
        folder.mkdir(parents=True)
        stems = [f"{person}_{sequence}_{number:08d}" for number in range(1, frames + 1)]
        for i, stem in enumerate(stems):
            (folder / f"{stem}.png").write_bytes(jpeg(i, 90, extension=".png"))
            if landmarks:
                points = root / "Landmarks" / person / sequence
                points.mkdir(parents=True, exist_ok=True)
                rows = [(20 + 40 * n / 67, 30 + 40 * (n % 2)) for n in range(68)]
                text = "".join(f"   {x:.7e}   {y:.7e}\n" for x, y in rows)
                (points / f"{stem}_landmarks.txt").write_text(text)
        told = root / "Emotion" / person / sequence
        told.mkdir(parents=True)
        if code is not None:
            (told / f"{stems[-1]}_emotion.txt").write_text(f"   {code:.7e}\n")
    return root


def write_expw(root):
    (root / "label").mkdir(parents=True)
    (root / "image" / "origin").mkdir(parents=True)
    photo = np.hstack([pattern(1, 90), pattern(2, 90)])
    (root / "image" / "origin" / "two faces.jpg".replace(" ", "_")).write_bytes(
        cv2.imencode(".jpg", photo)[1].tobytes()
    )
    (root / "image" / "origin" / "one.jpg").write_bytes(jpeg(3, 90))
    # name, face id, top, left, right, bottom, confidence, expression
    (root / "label" / "label.lst").write_text(
        "two_faces.jpg 0 5 10 80 85 57.5 3\ntwo_faces.jpg 1 0 95 175 88 40.1 6\none.jpg 0 1 2 88 89 33.0 0\n"
    )
    return root


BOXED = {
    "train": [("a", [("Anger", (8, 16, 40, 56)), ("happiness", (48, 8, 88, 48))]), ("b", [])],
    "valid": [("c", [("happiness", (10, 20, 50, 60))])],
}
"""Photos of 96 x 80 pixels by their splits, and the classes and boxes of the faces in them."""
BOXED_CLASSES = ("Anger", "happiness", "sad")


def photo(seed, width=96, height=80):
    image = cv2.resize(pattern(seed), (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))[1].tobytes()


def write_photo(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photo(seed))
    return path


def yolo_line(label, box, classes=BOXED_CLASSES):
    left, top, right, bottom = box
    shares = ((left + right) / 192, (top + bottom) / 160, (right - left) / 96, (bottom - top) / 80)
    return f"{classes.index(label)} {' '.join(map(str, shares))}"


def write_yolo(root, place="{split}/{kind}", names=None):
    """As Roboflow writes it, or with `place` ``{kind}/{split}`` as others do."""
    for split, name, faces in ((split, *photo) for split, photos in BOXED.items() for photo in photos):
        write_photo(root / place.format(split=split, kind="images") / f"{name}_jpg.rf.1.jpg", ord(name))
        listing = root / place.format(split=split, kind="labels") / f"{name}_jpg.rf.1.txt"
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("\n".join(yolo_line(label, box) for label, box in faces))
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\n\nnc: 3\n"
        + (names or f"names: {list(BOXED_CLASSES)}")
        + "\n\nroboflow:\n  workspace: w\n  license: CC BY 4.0\n"
    )
    return root


def write_coco(root, place="{split}/_annotations.coco.json", images="{split}"):
    """As Roboflow writes it, with the collection's name as category 0."""
    for split, photos in BOXED.items():
        files = [{"id": i, "file_name": f"{name}.jpg", "width": 96, "height": 80} for i, (name, _) in enumerate(photos)]
        faces = [(i, label, box) for i, (_, found) in enumerate(photos) for label, box in found]
        annotations = [
            {"id": n, "image_id": i, "category_id": 1 + BOXED_CLASSES.index(label), "iscrowd": 0, "area": 1,
             "bbox": [left, top, right - left, bottom - top], "segmentation": []}
            for n, (i, label, (left, top, right, bottom)) in enumerate(faces)
        ]  # fmt: skip
        names = ("emotions", *BOXED_CLASSES)
        categories = [{"id": n, "name": name, "supercategory": "emotions"} for n, name in enumerate(names)]
        values = {"info": {}, "licenses": [], "categories": categories, "images": files, "annotations": annotations}
        for name, _ in photos:
            write_photo(root / images.format(split=split) / f"{name}.jpg", ord(name))
        listing = root / place.format(split=split)
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text(json.dumps(values))
    return root


def write_voc(root, place="{split}", images="{split}"):
    for split, name, faces in ((split, *photo) for split, photos in BOXED.items() for photo in photos):
        write_photo(root / images.format(split=split) / f"{name}.jpg", ord(name))
        objects = "".join(
            f"<object><name>{label}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
            f"<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
            for label, (left, top, right, bottom) in faces
        )
        listing = root / place.format(split=split) / f"{name}.xml"
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text(
            f"<annotation><folder></folder><filename>{name}.jpg</filename><size><width>96</width><height>80</height>"
            f"<depth>3</depth></size><segmented>0</segmented>{objects}</annotation>"
        )
    return root
