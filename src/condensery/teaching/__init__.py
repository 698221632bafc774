"""What teachers say: networks trained on the real images, views of images, and their labels."""

from condensery.teaching.cost import seconds_per_image
from condensery.teaching.epochs import teacher_recipe
from condensery.teaching.guide import Guide
from condensery.teaching.labels import LabelSettings, label_images, view_recipe
from condensery.teaching.sampling import ViewSampling, random_boxes
from condensery.teaching.settings import TeacherSettings
from condensery.teaching.teacher import (
    Teacher,
    get_teacher,
    teacher_network,
    teacher_preparation,
)

__all__ = [
    "Guide",
    "LabelSettings",
    "Teacher",
    "TeacherSettings",
    "ViewSampling",
    "get_teacher",
    "label_images",
    "random_boxes",
    "seconds_per_image",
    "teacher_network",
    "teacher_preparation",
    "teacher_recipe",
    "view_recipe",
]
